#include "genai/reply_text.h"

namespace hotaru {

Result<ReplyText> ReplyText::create(const Tokenizer& tokenizer, DetokenizerOptions options,
                                    const std::vector<std::string>& stop) {
  TRY_ASSIGN(Detokenizer detokenizer, Detokenizer::create(tokenizer, options));
  return ReplyText(std::move(detokenizer), StopStrings(stop));
}

Result<std::string> ReplyText::push(int32_t id) {
  TRY_ASSIGN(const std::string piece, detokenizer_.push(id));
  return stop_strings_.push(piece);
}

Result<std::string> ReplyText::finish() {
  if (stopped()) return std::string();
  TRY_ASSIGN(const std::string rest, detokenizer_.finish());
  std::string text = stop_strings_.push(rest);
  if (!stopped()) text += stop_strings_.finish();
  return text;
}

}  // namespace hotaru
