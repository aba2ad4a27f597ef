#include "genai/reply_text.h"

#include <algorithm>

namespace hotaru {
namespace {

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

}  // namespace

Result<ReplyText> ReplyText::create(const Tokenizer& tokenizer, DetokenizerOptions options,
                                    const std::vector<std::string>& stop) {
  TRY_ASSIGN(Detokenizer detokenizer, Detokenizer::create(tokenizer, options));
  return ReplyText(std::move(detokenizer), StopStrings(stop));
}

Result<ReplyText> ReplyText::resume(const Tokenizer& tokenizer, DetokenizerOptions options,
                                    const std::vector<std::string>& stop, std::span<const int32_t> earlier) {
  TRY_ASSIGN(ReplyText text, create(tokenizer, options, stop));
  TRY_ASSIGN(ReplyText as_it_was_cut, create(tokenizer, options, stop));
  for (const int32_t id : earlier) {
    TRY(text.push(id));
    TRY(as_it_was_cut.push(id));
  }
  TRY_ASSIGN(text.known_, as_it_was_cut.finish());
  return text;
}

Result<std::string> ReplyText::push(int32_t id) {
  TRY_ASSIGN(const std::string piece, detokenizer_.push(id));
  return without_known(stop_strings_.push(piece));
}

Result<std::string> ReplyText::finish() {
  if (stopped()) return std::string();
  TRY_ASSIGN(const std::string rest, detokenizer_.finish());
  std::string text = stop_strings_.push(rest);
  if (!stopped()) text += stop_strings_.finish();
  return without_known(std::move(text));
}

// The known text and the new one part where the cut had made an unfinished character U+FFFD.
std::string ReplyText::without_known(std::string text) {
  if (known_.empty() || text.empty()) return text;
  const auto [in_text, in_known] = std::mismatch(text.begin(), text.end(), known_.begin(), known_.end());
  auto same = static_cast<size_t>(in_text - text.begin());
  const bool is_all = same == text.size() || same == known_.size();
  while (!is_all && same > 0 && !(begins_character(text[same]) && begins_character(known_[same]))) same--;
  if (same < text.size()) {
    known_.clear();
  } else {
    known_.erase(0, same);
  }
  return text.substr(same);
}

}  // namespace hotaru
