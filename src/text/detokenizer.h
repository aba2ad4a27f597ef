// Token ids to text, one at a time: what push() returns is valid UTF-8 and final. Bytes of an unfinished character
// wait. For one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "text/tokenizer.h"

struct HotaruTextDetokenizer;

namespace hotaru {

struct DetokenizerOptions {
  bool skip_special_tokens = true;
  // The text goes on after other text (a raw prompt): the space in front of its first word is kept. Sentencepiece
  // tokenizers drop it at the start of a text.
  bool continues = false;
};

class Detokenizer {
 public:
  // Keeps the tokenizer's vocabulary alive by itself.
  static Result<Detokenizer> create(const Tokenizer& tokenizer, DetokenizerOptions options = {});

  // The text that became certain; often empty. An id outside the vocabulary adds nothing.
  Result<std::string> push(int32_t id);
  // The rest: an unfinished character becomes U+FFFD. Afterwards push() goes on with the same text.
  Result<std::string> finish();

 private:
  std::shared_ptr<HotaruTextDetokenizer> handle_;
};

}  // namespace hotaru
