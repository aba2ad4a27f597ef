// A conversation with a language model on a device.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "hotaru/expected.h"
#include "hotaru/export.h"
#include "hotaru/genai/llm_generator.h"
#include "hotaru/genai/llm_params.h"
#include "hotaru/vdevice.h"

namespace hotaru::genai {

// One conversation: a context on the device (tokens and their keys and values), its adapter and its messages. LLMs that
// are created from the same HEF on the same device share its weights and decode together, each with its own context and
// adapter; what a reply says does not depend on the others. To switch between conversations, use the other LLM.
//
// Threads: every method may be called from any thread; those of one LLM take turns. One reply at a time: while one is
// being written, what would change the context is refused with BUSY. Lifetime: keeps the device and the model alive;
// generators and completions outlive it.
class HOTARU_API LLM {
 public:
  // Loads the HEF, unless it is on the device already. NOT_FOUND: no such file or adapter (the message lists the
  // adapters there are). OUT_OF_MEMORY: does not fit what is left of the device's memory; the message has the bytes
  // needed and available. INVALID_ARGUMENT, NOT_SUPPORTED: the file is damaged or no HEF of ours.
  static Expected<LLM> create(const std::shared_ptr<VDevice>& device, const LLMParams& params);
  LLM(LLM&& other) noexcept;
  LLM& operator=(LLM&& other) noexcept;
  ~LLM();

  // A second conversation that has come as far as this one. What both hold is stored once until one of them changes it.
  [[nodiscard]] Expected<LLM> fork() const;

  // The model's defaults, to be changed and given to create_generator() or generate().
  [[nodiscard]] LLMGeneratorParams create_generator_params() const;
  [[nodiscard]] LLMGenerator create_generator() const;
  [[nodiscard]] LLMGenerator create_generator(const LLMGeneratorParams& params) const;
  // create_generator(params), write(messages), generate() in one.
  Expected<LLMGeneratorCompletion> generate(const std::vector<std::string>& messages);
  Expected<LLMGeneratorCompletion> generate(const LLMGeneratorParams& params, const std::vector<std::string>& messages);
  // Goes on with the reply that was cut last (MAX_TOKENS_REACHED, ABORTED): the tokens are those it would have had
  // without the cut, also after save_context() and load_context(). Sampling and stops are those of the cut reply; of
  // `params` counts how many tokens may follow, what happens when the context is full, and the log-probabilities.
  // INVALID_ARGUMENT: no reply was cut.
  Expected<LLMGeneratorCompletion> resume();
  Expected<LLMGeneratorCompletion> resume(const LLMGeneratorParams& params);

  // Without special tokens around the text; those spelled in it ("<|im_end|>") count as such.
  [[nodiscard]] Expected<std::vector<int>> tokenize(const std::string& text) const;
  // Jinja; NOT_FOUND: the model has none.
  [[nodiscard]] Expected<std::string> prompt_template() const;
  [[nodiscard]] std::string name() const;

  // Tokens in the context, and the most it holds. The last token of a reply counts, though the device reads it with the
  // next prompt only.
  [[nodiscard]] Expected<size_t> get_context_usage_size() const;
  [[nodiscard]] size_t max_context_capacity() const;
  // Forgets the conversation; the adapter, stop tokens and recovery sequence stay.
  Expected<void> clear_context();
  // Into a file whose size follows what is used: the messages, token ids, keys and values, adapter and the state of a
  // cut reply. The file appears under its name only when it is complete.
  Expected<void> save_context(const std::string& path) const;
  // Takes the place of this conversation, adapter included. A file that is damaged, or of another model or adapter, is
  // refused, and the conversation stays as it was.
  Expected<void> load_context(const std::string& path);

  [[nodiscard]] std::vector<std::string> adapters() const;  // in the HEF
  [[nodiscard]] std::string lora() const;                   // "": none
  // Of the prompts to come. Another adapter reads the conversation anew; the model is not loaded again.
  Expected<void> set_lora(const std::string& name);

  // What ends a reply, in place of the model's own tokens: a string that is one special token ends it by its id, any
  // other is a stop string. An empty vector: the model's own again.
  Expected<void> set_stop_tokens(const std::vector<std::string>& stop_tokens);
  [[nodiscard]] Expected<std::vector<std::string>> get_stop_tokens() const;
  // What a reasoning model writes between these marks ("<think>", "</think>") stays out of the context after the reply:
  // the prompts to come are made without it. It is still read and counted. Empty marks (default): it is kept, as far as
  // the prompt template does.
  Expected<void> set_reasoning_marks(const std::string& begin, const std::string& end);
  // Follows a reply that was cut, so that the next prompt finds it closed; may be empty. Default: the end of turn.
  Expected<void> set_generation_recovery_sequence(const std::string& sequence);
  [[nodiscard]] Expected<std::string> get_generation_recovery_sequence() const;

  class HOTARU_HIDDEN Impl;
  explicit LLM(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hotaru::genai
