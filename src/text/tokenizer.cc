#include "text/tokenizer.h"

#include "text/foreign.h"

namespace hotaru {

Result<Tokenizer> Tokenizer::create(std::string_view tokenizer_json) {
  Tokenizer tokenizer;
  TRY_ASSIGN(tokenizer.handle_, foreign::handle_of(hotaru_text_tokenizer_free, hotaru_text_tokenizer_create,
                                                   foreign::view(tokenizer_json)));
  return tokenizer;
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  uint32_t flags = 0;
  if (options.add_special_tokens) flags |= kHotaruTextAddSpecialTokens;
  if (options.plain) flags |= kHotaruTextPlain;
  return foreign::ids_of(hotaru_text_encode, handle_.get(), foreign::view(text), flags);
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  uint32_t flags = 0;
  if (skip_special_tokens) flags |= kHotaruTextSkipSpecialTokens;
  return foreign::text_of(hotaru_text_decode, handle_.get(), reinterpret_cast<const uint32_t*>(ids.data()), ids.size(),
                          flags);
}

int32_t Tokenizer::vocabulary_size() const { return static_cast<int32_t>(hotaru_text_vocabulary_size(handle_.get())); }

Result<std::vector<int32_t>> Tokenizer::special_ids() const {
  return foreign::ids_of(hotaru_text_special_ids, handle_.get());
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  uint32_t id = 0;
  foreign::Bytes message;
  const int status = hotaru_text_token_to_id(handle_.get(), foreign::view(token), &id, message.out());
  if (status != kHotaruTextOk) return std::nullopt;
  return static_cast<int32_t>(id);
}

Result<std::string> Tokenizer::id_to_token(int32_t id) const {
  return foreign::text_of(hotaru_text_id_to_token, handle_.get(), static_cast<uint32_t>(id));
}

Result<std::string> Tokenizer::token_bytes(int32_t id) const {
  return foreign::text_of(hotaru_text_token_bytes, handle_.get(), static_cast<uint32_t>(id));
}

}  // namespace hotaru
