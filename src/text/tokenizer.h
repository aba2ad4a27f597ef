// A tokenizer: text to token ids and back. Immutable: every method may be called from several threads at once; copies
// share one vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct HotaruTextTokenizer;

namespace hotaru {

struct EncodeOptions {
  bool add_special_tokens =
      false;           // what the tokenizer puts around a text (Llama: BOS in front). Not after a template.
  bool plain = false;  // "<|im_end|>" in the text stays text
};

class Tokenizer {
 public:
  // From a tokenizer.json; TextBundle finds or makes it for a checkpoint directory.
  static Result<Tokenizer> create(std::string_view tokenizer_json);

  // `text` must be UTF-8.
  [[nodiscard]] Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options = {}) const;
  // Equal to what a Detokenizer gives for the ids; ids outside the vocabulary add nothing.
  [[nodiscard]] Result<std::string> decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  // One more than the largest id, added tokens included. A model may have more rows than this (padding), not fewer.
  [[nodiscard]] int32_t vocabulary_size() const;
  // Ascending.
  [[nodiscard]] Result<std::vector<int32_t>> special_ids() const;
  [[nodiscard]] std::optional<int32_t> token_to_id(std::string_view token) const;
  // As the vocabulary writes it: "Ġthe", "▁the", "<0x0A>".
  [[nodiscard]] Result<std::string> id_to_token(int32_t id) const;
  // What the token adds to a text: " the"; may be a part of a character.
  [[nodiscard]] Result<std::string> token_bytes(int32_t id) const;

 private:
  friend class Detokenizer;
  friend class Grammar;
  std::shared_ptr<HotaruTextTokenizer> handle_;
};

}  // namespace hotaru
