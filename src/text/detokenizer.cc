#include "text/detokenizer.h"

#include "text/foreign.h"

namespace hotaru {

Result<Detokenizer> Detokenizer::create(const Tokenizer& tokenizer, DetokenizerOptions options) {
  uint32_t flags = 0;
  if (options.skip_special_tokens) flags |= kHotaruTextSkipSpecialTokens;
  if (options.continues) flags |= kHotaruTextContinues;
  Detokenizer detokenizer;
  TRY_ASSIGN(detokenizer.handle_, foreign::handle_of(hotaru_text_detokenizer_free, hotaru_text_detokenizer_create,
                                                     tokenizer.handle_.get(), flags));
  return detokenizer;
}

Result<std::string> Detokenizer::push(int32_t id) {
  return foreign::text_of(hotaru_text_detokenizer_push, handle_.get(), static_cast<uint32_t>(id));
}

Result<std::string> Detokenizer::finish() { return foreign::text_of(hotaru_text_detokenizer_finish, handle_.get()); }

}  // namespace hotaru
