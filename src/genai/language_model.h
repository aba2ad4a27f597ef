// A HEF that speaks: its device, tokenizer, chat template and generation defaults.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "genai/generator.h"
#include "genai/sampling_choice.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hotaru {

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class LanguageModel {
 public:
  struct Parts {
    std::string name;
    std::unique_ptr<Device> device;
    std::optional<Tokenizer> tokenizer;
    std::optional<ChatTemplate> chat_template;
    GenerationDefaults defaults;
    double load_seconds = 0.0;
  };

  static Result<LanguageModel> open(const std::string& hef_path, const DeviceOptions& options);
  static Result<LanguageModel> from_parts(Parts parts);

  [[nodiscard]] const std::string& name() const { return parts_.name; }
  [[nodiscard]] Device& device() const { return *parts_.device; }
  [[nodiscard]] const GenerationDefaults& defaults() const { return parts_.defaults; }
  [[nodiscard]] double load_seconds() const { return parts_.load_seconds; }
  [[nodiscard]] bool has_tokenizer() const { return parts_.tokenizer.has_value(); }
  [[nodiscard]] const Tokenizer* tokenizer() const { return parts_.tokenizer ? &*parts_.tokenizer : nullptr; }
  [[nodiscard]] bool has_chat_template() const { return parts_.chat_template.has_value(); }
  [[nodiscard]] const ChatTemplate* chat_template() const {
    return parts_.chat_template ? &*parts_.chat_template : nullptr;
  }

  // The text as it stands, with what the tokenizer puts in front (BOS of Llama). No text at all is the BOS token alone.
  [[nodiscard]] Result<std::vector<int32_t>> encode_text(std::string_view text) const;
  // The same behind other text: nothing is put in front.
  [[nodiscard]] Result<std::vector<int32_t>> encode_more_text(std::string_view text) const;
  // The messages through the chat template, ready for the assistant's reply.
  [[nodiscard]] Result<std::vector<int32_t>> encode_chat(std::span<const Message> messages) const;
  // The same of a JSON list: [{"role": "user", "content": "..."}, ...].
  [[nodiscard]] Result<std::vector<int32_t>> encode_chat(const std::string& messages_json) const;
  // The text that encode_chat() encodes; encode_more_text() makes its ids. `instead`: of the model's own template.
  [[nodiscard]] Result<std::string> render_chat(const ChatRequest& request,
                                                const ChatTemplate* instead = nullptr) const;
  // How many of a chat prompt's tokens every chat with its system messages begins with (those of the prefix that the
  // device stands behind not counted): what a full context keeps. `prompt_ids` is the request rendered and encoded.
  [[nodiscard]] Result<int> opening_tokens(ChatRequest request, std::span<const int32_t> prompt_ids) const;
  // What of a prompt the device takes: not the prefix tokens that it begins with, since every context stands behind
  // them already. A prompt of nothing else stays.
  [[nodiscard]] std::span<const int32_t> after_prefix(std::span<const int32_t> prompt_ids) const;
  // Options of a reply that the model ends by itself, and that is closed as it would have closed it when it is cut.
  // What the choice leaves open is as the model says. kInvalid: a value out of its range.
  [[nodiscard]] Result<GenerationOptions> generation_options(const SamplingChoice& choice) const;
  // Ids given as such: refuses those that are not in the vocabulary.
  [[nodiscard]] Result<void> check_ids(std::span<const int32_t> ids) const;

  // Writes a reply as text; `continues`: it goes on after other text; `earlier`: the ids after which the reply was cut.
  // Nothing when there is no tokenizer (stop strings are an error then).
  [[nodiscard]] Result<std::optional<ReplyText>> reply_text(const std::vector<std::string>& stop, bool continues,
                                                            std::span<const int32_t> earlier = {}) const;

 private:
  [[nodiscard]] Result<std::vector<int32_t>> encode(std::string_view text, bool add_special_tokens) const;
  explicit LanguageModel(Parts parts) : parts_(std::move(parts)) {}
  Parts parts_;
};

}  // namespace hotaru
