// What an LLM, its generators and its completions share.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/vdevice_impl.h"
#include "genai/conversation.h"
#include "hotaru/genai/llm.h"

namespace hotaru::genai {

struct LlmState {
  LlmState(std::shared_ptr<LoadedModel> loaded_model, Conversation chat)
      : model(std::move(loaded_model)), conversation(std::move(chat)) {}

  // For what would change the conversation; the mutex is held.
  [[nodiscard]] Result<void> check_idle() const;

  const std::shared_ptr<LoadedModel> model;
  mutable std::mutex mutex;  // guards what follows
  Conversation conversation;
  bool is_replying = false;                // a completion has the conversation
  std::vector<std::string> stop_tokens;    // empty: the model's own
  std::vector<int32_t> stop_ids;           // those of them that are tokens
  std::vector<std::string> stop_strings;   // and those that are not
  std::string dropped_begin, dropped_end;  // of reasoning
  std::vector<int32_t> recovery_ids;       // at first the model's end of turn
};

// A model that is loaded already, for tests.
Result<LLM> create_llm(std::shared_ptr<LoadedModel> model, const std::string& lora);

class LLM::Impl {
 public:
  explicit Impl(std::shared_ptr<LlmState> shared) : state(std::move(shared)) {}
  std::shared_ptr<LlmState> state;
};

class LLMGenerator::Impl {
 public:
  Impl(std::shared_ptr<LlmState> shared, LLMGeneratorParams chosen)
      : state(std::move(shared)), params(std::move(chosen)) {}
  std::shared_ptr<LlmState> state;
  LLMGeneratorParams params;
  std::vector<PromptPart> parts;
};

// Begins a reply; the state must not be locked.
Result<LLMGeneratorCompletion> begin_reply(const std::shared_ptr<LlmState>& state, const LLMGeneratorParams& params,
                                           std::vector<PromptPart> parts);
Result<LLMGeneratorCompletion> resume_reply(const std::shared_ptr<LlmState>& state, const LLMGeneratorParams& params);

}  // namespace hotaru::genai
