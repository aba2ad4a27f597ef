#include "hotaru/genai/llm_generator.h"

#include <utility>

#include "api/completion_impl.h"
#include "api/expected_of.h"
#include "api/generator_params_impl.h"
#include "api/llm_state.h"
#include "api/message.h"

namespace hotaru::genai {
namespace {

constexpr size_t kMostSamples = 1024;

hotaru::WhenFull when_full_of(WhenFull policy) {
  switch (policy) {
    case WhenFull::ERROR:
      return hotaru::WhenFull::kError;
    case WhenFull::STOP:
      return hotaru::WhenFull::kStop;
    case WhenFull::SHIFT:
      return hotaru::WhenFull::kShift;
  }
  return hotaru::WhenFull::kStop;
}

// The state must be locked.
TurnOptions turn_options(const LlmState& state, const LLMGeneratorParams::Impl& params) {
  const GenerationDefaults& defaults = state.model->model().defaults();
  TurnOptions options;
  options.generation.sampling = params.sampling();
  options.generation.max_tokens = params.max_tokens ? static_cast<int>(*params.max_tokens) : -1;
  options.generation.stop_ids = state.stop_tokens.empty() ? defaults.eos_ids : state.stop_ids;
  options.generation.recovery_ids = state.recovery_ids;
  options.generation.when_full = when_full_of(params.when_full);
  options.stop = params.stop;
  options.stop.insert(options.stop.end(), state.stop_strings.begin(), state.stop_strings.end());
  options.top_logprobs = params.top_logprobs ? static_cast<int>(*params.top_logprobs) : -1;
  return options;
}

LLMGeneratorCompletion completion_of(const std::shared_ptr<LlmState>& state, Conversation::Turn turn,
                                     std::optional<uint64_t> seed) {
  state->is_replying = true;
  return LLMGeneratorCompletion(std::make_unique<LLMGeneratorCompletion::Impl>(state, std::move(turn), seed));
}

}  // namespace

Result<std::vector<LLMGeneratorCompletion>> begin_replies(const std::shared_ptr<LlmState>& state,
                                                          const LLMGeneratorParams& params,
                                                          std::vector<PromptPart> parts, size_t count) {
  if (count < 1 || count > kMostSamples) return invalid("samples: got {}, want 1 to {}", count, kMostSamples);
  const std::lock_guard lock(state->mutex);
  TRY(state->check_idle());
  TurnOptions options = turn_options(*state, params.impl());
  options.continues_text = !parts.empty() && parts.back().kind == PromptPart::Kind::kText;
  state->conversation.set_dropped_marks(state->dropped_begin, state->dropped_end);
  options.samples = static_cast<int>(count);
  TRY_ASSIGN(Conversation::Turn turn, state->conversation.begin(std::move(parts), options));
  uint64_t seed = options.generation.sampling.seed;
  std::vector<std::unique_ptr<ReplyStream>> others = std::move(turn.others);
  const auto dropped_messages = static_cast<size_t>(turn.dropped_messages);
  std::vector<LLMGeneratorCompletion> completions;
  completions.push_back(completion_of(state, std::move(turn), seed));
  for (std::unique_ptr<ReplyStream>& other : others) {
    completions.emplace_back(
        std::make_unique<LLMGeneratorCompletion::Impl>(state, std::move(other), dropped_messages, ++seed));
  }
  return completions;
}

Result<LLMGeneratorCompletion> begin_reply(const std::shared_ptr<LlmState>& state, const LLMGeneratorParams& params,
                                           std::vector<PromptPart> parts) {
  TRY_ASSIGN(std::vector<LLMGeneratorCompletion> completions, begin_replies(state, params, std::move(parts), 1));
  return std::move(completions.front());
}

Result<LLMGeneratorCompletion> resume_reply(const std::shared_ptr<LlmState>& state, const LLMGeneratorParams& params) {
  const std::lock_guard lock(state->mutex);
  TRY(state->check_idle());
  TRY_ASSIGN(Conversation::Turn turn, state->conversation.resume(turn_options(*state, params.impl())));
  return completion_of(state, std::move(turn), std::nullopt);
}

LLMGenerator::LLMGenerator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LLMGenerator::LLMGenerator(LLMGenerator&& other) noexcept = default;
LLMGenerator& LLMGenerator::operator=(LLMGenerator&& other) noexcept = default;
LLMGenerator::~LLMGenerator() = default;

Expected<void> LLMGenerator::write(const std::string& text) {
  impl_->parts.push_back({.kind = PromptPart::Kind::kText, .text = text});
  return {};
}

Expected<void> LLMGenerator::write(const std::vector<std::string>& messages) {
  Result<std::vector<PromptPart>> parts = parse_messages(messages);
  if (!parts) return failure_of(std::move(parts).error());
  for (PromptPart& part : *parts) impl_->parts.push_back(std::move(part));
  return {};
}

Expected<LLMGeneratorCompletion> LLMGenerator::generate() {
  return expected_of(begin_reply(impl_->state, impl_->params, std::exchange(impl_->parts, {})));
}

Expected<std::vector<LLMGeneratorCompletion>> LLMGenerator::generate_samples(size_t count) {
  return expected_of(begin_replies(impl_->state, impl_->params, std::exchange(impl_->parts, {}), count));
}

}  // namespace hotaru::genai
