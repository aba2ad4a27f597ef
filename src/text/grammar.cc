#include "text/grammar.h"

#include "text/foreign.h"

namespace hotaru {
namespace {

uint32_t kind_of(GrammarSpec::Kind kind) {
  switch (kind) {
    case GrammarSpec::Kind::kJsonSchema:
      return kHotaruTextJsonSchema;
    case GrammarSpec::Kind::kJsonObject:
      return kHotaruTextJsonObject;
    case GrammarSpec::Kind::kRegex:
      return kHotaruTextRegex;
    case GrammarSpec::Kind::kLark:
      return kHotaruTextLark;
  }
  return kHotaruTextJsonObject;
}

}  // namespace

Result<Grammar> Grammar::compile(const Tokenizer& tokenizer, std::span<const int32_t> end_ids, int vocabulary,
                                 const GrammarSpec& spec) {
  const HotaruTextGrammarSpec raw = {
      .kind = kind_of(spec.kind),
      .text = foreign::view(spec.text),
      .end_ids = reinterpret_cast<const uint32_t*>(end_ids.data()),
      .end_count = end_ids.size(),
      .vocabulary = static_cast<uint32_t>(vocabulary),
  };
  Grammar grammar;
  TRY_ASSIGN(grammar.handle_,
             foreign::handle_of(hotaru_text_grammar_free, hotaru_text_grammar_create, tokenizer.handle_.get(), &raw));
  grammar.vocabulary_ = vocabulary;
  return grammar;
}

Result<GrammarState> GrammarState::begin(const Grammar& grammar) {
  GrammarState state;
  TRY_ASSIGN(state.handle_, foreign::handle_of(hotaru_text_grammar_state_free, hotaru_text_grammar_begin,
                                               static_cast<const HotaruTextGrammar*>(grammar.handle_.get())));
  return state;
}

Result<void> GrammarState::advance(std::span<const int32_t> ids) {
  foreign::Bytes message;
  const int status = hotaru_text_grammar_advance(handle_.get(), reinterpret_cast<const uint32_t*>(ids.data()),
                                                 ids.size(), message.out());
  if (status != kHotaruTextOk) return foreign::error_of(status, message);
  return {};
}

Result<void> GrammarState::allowed(std::span<uint64_t> words) {
  foreign::Bytes message;
  const int status = hotaru_text_grammar_allowed(handle_.get(), words.data(), words.size(), message.out());
  if (status != kHotaruTextOk) return foreign::error_of(status, message);
  return {};
}

}  // namespace hotaru
