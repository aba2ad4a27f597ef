#include "hotaru/genai/llm.h"

#include <algorithm>
#include <utility>

#include "api/expected_of.h"
#include "api/generator_params_impl.h"
#include "api/llm_state.h"
#include "api/message.h"

namespace hotaru::genai {
namespace {

Result<int> adapter_of(const LoadedModel& model, const std::string& name) {
  if (name.empty()) return kNoAdapter;
  return find_adapter(model.model().device().info(), name);
}

Result<const Tokenizer*> tokenizer_of(const LlmState& state) {
  const LanguageModel& model = state.model->model();
  if (model.tokenizer() != nullptr) return model.tokenizer();
  return make_error(ErrorKind::kNotFound, "'{}' has no tokenizer", model.name());
}

LLM llm_of(std::shared_ptr<LlmState> state) { return LLM(std::make_unique<LLM::Impl>(std::move(state))); }

Result<LLM> load(const std::shared_ptr<VDevice>& device, const LLMParams& params) {
  if (device == nullptr) return invalid("device: got none, want one made by VDevice::create_shared");
  TRY_ASSIGN(std::shared_ptr<LoadedModel> model, device->impl().load(device, params.hef()));
  return create_llm(std::move(model), params.lora());
}

Result<void> set_stop(LlmState& state, const std::vector<std::string>& stop_tokens) {
  TRY_ASSIGN(const Tokenizer* tokenizer, tokenizer_of(state));
  TRY_ASSIGN(const std::vector<int32_t> special_ids, tokenizer->special_ids());
  std::vector<int32_t> ids;
  std::vector<std::string> strings;
  for (const std::string& text : stop_tokens) {
    if (text.empty()) return invalid("stop tokens: got an empty string, want text");
    const std::optional<int32_t> id = tokenizer->token_to_id(text);
    if (id && std::binary_search(special_ids.begin(), special_ids.end(), *id)) {
      ids.push_back(*id);
    } else {
      strings.push_back(text);
    }
  }
  state.stop_tokens = stop_tokens;
  state.stop_ids = std::move(ids);
  state.stop_strings = std::move(strings);
  return {};
}

}  // namespace

Result<void> LlmState::check_idle() const {
  if (!is_replying) return {};
  return make_error(ErrorKind::kBusy, "a reply is being written: read it to its end, abort or destroy it first");
}

Result<LLM> create_llm(std::shared_ptr<LoadedModel> model, const std::string& lora) {
  TRY_ASSIGN(const int adapter, adapter_of(*model, lora));
  TRY_ASSIGN(Conversation conversation, Conversation::create(model->engine(), adapter));
  auto state = std::make_shared<LlmState>(std::move(model), std::move(conversation));
  const std::vector<int32_t>& eos_ids = state->model->model().defaults().eos_ids;
  if (!eos_ids.empty()) state->recovery_ids = {eos_ids.front()};
  return llm_of(std::move(state));
}

Expected<LLM> LLM::create(const std::shared_ptr<VDevice>& device, const LLMParams& params) {
  return expected_of(load(device, params));
}

LLM::LLM(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LLM::LLM(LLM&& other) noexcept = default;
LLM& LLM::operator=(LLM&& other) noexcept = default;
LLM::~LLM() = default;

Expected<LLM> LLM::fork() const {
  const LlmState& state = *impl_->state;
  const std::lock_guard lock(state.mutex);
  if (Result<void> idle = state.check_idle(); !idle) return failure_of(std::move(idle).error());
  Result<Conversation> conversation = state.conversation.fork();
  if (!conversation) return failure_of(std::move(conversation).error());
  auto other = std::make_shared<LlmState>(state.model, *std::move(conversation));
  other->stop_tokens = state.stop_tokens;
  other->stop_ids = state.stop_ids;
  other->stop_strings = state.stop_strings;
  other->recovery_ids = state.recovery_ids;
  other->dropped_begin = state.dropped_begin;
  other->dropped_end = state.dropped_end;
  return llm_of(std::move(other));
}

LLMGeneratorParams LLM::create_generator_params() const {
  const LanguageModel& model = impl_->state->model->model();
  auto params = std::make_unique<LLMGeneratorParams::Impl>();
  params->defaults = model.defaults();
  params->vocabulary = model.device().info().vocabulary;
  return LLMGeneratorParams(std::move(params));
}

LLMGenerator LLM::create_generator() const { return create_generator(create_generator_params()); }

LLMGenerator LLM::create_generator(const LLMGeneratorParams& params) const {
  return LLMGenerator(std::make_unique<LLMGenerator::Impl>(impl_->state, params));
}

Expected<LLMGeneratorCompletion> LLM::generate(const std::vector<std::string>& messages) {
  return generate(create_generator_params(), messages);
}

Expected<LLMGeneratorCompletion> LLM::generate(const LLMGeneratorParams& params,
                                               const std::vector<std::string>& messages) {
  Result<std::vector<PromptPart>> parts = parse_messages(messages);
  if (!parts) return failure_of(std::move(parts).error());
  return expected_of(begin_reply(impl_->state, params, *std::move(parts)));
}

Expected<LLMGeneratorCompletion> LLM::resume() { return resume(create_generator_params()); }

Expected<LLMGeneratorCompletion> LLM::resume(const LLMGeneratorParams& params) {
  return expected_of(resume_reply(impl_->state, params));
}

Expected<std::vector<int>> LLM::tokenize(const std::string& text) const {
  return expected_of(impl_->state->model->model().encode_more_text(text));
}

Expected<std::string> LLM::prompt_template() const {
  const LanguageModel& model = impl_->state->model->model();
  if (model.chat_template() != nullptr) return model.chat_template()->source();
  return failure_of(make_error(ErrorKind::kNotFound, "'{}' has no chat template", model.name()));
}

std::string LLM::name() const { return impl_->state->model->model().name(); }

Expected<size_t> LLM::get_context_usage_size() const {
  const std::lock_guard lock(impl_->state->mutex);
  return impl_->state->conversation.context_state().ids.size();
}

size_t LLM::max_context_capacity() const {
  return static_cast<size_t>(impl_->state->model->model().device().info().context_tokens);
}

Expected<void> LLM::clear_context() {
  LlmState& state = *impl_->state;
  const std::lock_guard lock(state.mutex);
  if (Result<void> idle = state.check_idle(); !idle) return expected_of(std::move(idle));
  return expected_of(state.conversation.clear());
}

Expected<void> LLM::save_context(const std::string& path) const {
  const LlmState& state = *impl_->state;
  const std::lock_guard lock(state.mutex);
  if (Result<void> idle = state.check_idle(); !idle) return expected_of(std::move(idle));
  return expected_of(state.conversation.save(path));
}

Expected<void> LLM::load_context(const std::string& path) {
  LlmState& state = *impl_->state;
  const std::lock_guard lock(state.mutex);
  if (Result<void> idle = state.check_idle(); !idle) return expected_of(std::move(idle));
  Result<Conversation> loaded = Conversation::load(state.model->engine(), path);
  if (!loaded) return failure_of(std::move(loaded).error());
  state.conversation = *std::move(loaded);
  return {};
}

std::vector<std::string> LLM::adapters() const { return impl_->state->model->model().device().info().adapters; }

std::string LLM::lora() const {
  const std::lock_guard lock(impl_->state->mutex);
  const int adapter = impl_->state->conversation.context_state().adapter;
  return adapter == kNoAdapter ? ""
                               : impl_->state->model->model().device().info().adapters[static_cast<size_t>(adapter)];
}

Expected<void> LLM::set_lora(const std::string& name) {
  LlmState& state = *impl_->state;
  const std::lock_guard lock(state.mutex);
  if (Result<void> idle = state.check_idle(); !idle) return expected_of(std::move(idle));
  const Result<int> adapter = adapter_of(*state.model, name);
  if (!adapter) return failure_of(adapter.error());
  return expected_of(state.conversation.set_adapter(*adapter));
}

Expected<void> LLM::set_stop_tokens(const std::vector<std::string>& stop_tokens) {
  const std::lock_guard lock(impl_->state->mutex);
  return expected_of(set_stop(*impl_->state, stop_tokens));
}

Expected<std::vector<std::string>> LLM::get_stop_tokens() const {
  const LlmState& state = *impl_->state;
  const std::lock_guard lock(state.mutex);
  if (!state.stop_tokens.empty()) return state.stop_tokens;
  const Result<const Tokenizer*> tokenizer = tokenizer_of(state);
  if (!tokenizer) return failure_of(tokenizer.error());
  std::vector<std::string> tokens;
  for (const int32_t id : state.model->model().defaults().eos_ids) {
    Result<std::string> token = (*tokenizer)->id_to_token(id);
    if (!token) return failure_of(std::move(token).error());
    tokens.push_back(*std::move(token));
  }
  return tokens;
}

Expected<void> LLM::set_reasoning_marks(const std::string& begin, const std::string& end) {
  if (begin.empty() != end.empty() || (begin == end && !begin.empty())) {
    return failure_of(invalid("reasoning marks: got '{}' and '{}', want two different texts, or none", begin, end));
  }
  const std::lock_guard lock(impl_->state->mutex);
  impl_->state->dropped_begin = begin;
  impl_->state->dropped_end = end;
  return {};
}

Expected<void> LLM::set_generation_recovery_sequence(const std::string& sequence) {
  LlmState& state = *impl_->state;
  Result<std::vector<int32_t>> ids = state.model->model().encode_more_text(sequence);
  if (!ids) return failure_of(std::move(ids).error());
  const std::lock_guard lock(state.mutex);
  state.recovery_ids = *std::move(ids);
  return {};
}

Expected<std::string> LLM::get_generation_recovery_sequence() const {
  const LlmState& state = *impl_->state;
  const std::lock_guard lock(state.mutex);
  const Result<const Tokenizer*> tokenizer = tokenizer_of(state);
  if (!tokenizer) return failure_of(tokenizer.error());
  return expected_of((*tokenizer)->decode(state.recovery_ids, false));
}

}  // namespace hotaru::genai
