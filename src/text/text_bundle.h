// Everything textual of a checkpoint: the tokenizer as one canonical tokenizer.json, the chat template, the special
// tokens. The compiler loads it from a directory; a HEF stores it in two sections.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hotaru {

struct TextBundle {
  std::string tokenizer_json;     // compact; the same content gives the same bytes
  std::string chat_template;      // Jinja; empty: the model has none
  std::string tool_use_template;  // Jinja for requests with tools; empty: chat_template serves them too
  std::map<std::string, std::string> special_tokens;  // "bos_token" -> "<s>"; only those that are set
  bool adds_bos = false;                              // a text encoded with add_special_tokens begins with BOS

  // Reads tokenizer.json, or vocab.json + merges.txt; tokenizer_config.json, special_tokens_map.json,
  // added_tokens.json, chat_template.jinja (wins over tokenizer_config's). kNotFound: no tokenizer there.
  static Result<TextBundle> load(const std::string& directory);

  // All but tokenizer_json, which has a section of its own.
  [[nodiscard]] std::string to_json() const;
  static Result<TextBundle> from_json(std::string_view tokenizer_json, std::string_view json);
};

}  // namespace hotaru
