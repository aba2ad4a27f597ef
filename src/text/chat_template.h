// A chat template: messages to the text that the model was trained on, as transformers' apply_chat_template renders it.
// Immutable: render() may be called from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

struct HotaruTextTemplate;

namespace hotaru {

struct TextBundle;

struct ChatRequest {
  std::string messages_json = {};  // [{"role": "user", "content": "..."}, ...]
  bool add_generation_prompt = true;
  std::string variables_json = {};               // {"tools": [...], "enable_thinking": false, ...}; empty for none
  std::optional<int64_t> now_unix_seconds = {};  // for templates that print the date; default: the clock
};

class ChatTemplate {
 public:
  // kNotFound when the bundle has no template.
  static Result<ChatTemplate> create(const TextBundle& bundle);

  // Another Jinja source with the same special tokens; it serves requests with tools, too.
  [[nodiscard]] Result<ChatTemplate> with_source(std::string source) const;

  // Tokenise the result without add_special_tokens: BOS is the template's business. An error of the template itself
  // (raise_exception: "roles must alternate") is kInvalid.
  [[nodiscard]] Result<std::string> render(const ChatRequest& request) const;

  [[nodiscard]] const std::string& source() const { return source_; }  // Jinja

 private:
  static Result<ChatTemplate> create(std::string source, std::string_view tool_use, std::string special_tokens_json);
  std::shared_ptr<HotaruTextTemplate> handle_;
  std::string source_;
  std::string special_tokens_json_;
};

}  // namespace hotaru
