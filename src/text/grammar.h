// What a reply must look like: compiled once for a request and a tokenizer (llguidance), then asked token by token
// which ids may follow.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "text/tokenizer.h"

struct HotaruTextGrammar;
struct HotaruTextGrammarState;

namespace hotaru {

struct GrammarSpec {
  enum class Kind {  // the numbers stand in context files
    kJsonSchema,     // `text` is a JSON schema
    kJsonObject,     // any JSON object
    kRegex,
    kLark,  // llguidance's own language, for what the others cannot say (calls of tools)
  };
  Kind kind = Kind::kJsonObject;
  std::string text;
};

// Immutable; may be shared by threads.
class Grammar {
 public:
  // kInvalid: a schema that is malformed, cannot be met or uses what is not supported; the message says what.
  static Result<Grammar> compile(const Tokenizer& tokenizer, std::span<const int32_t> end_ids, int vocabulary,
                                 const GrammarSpec& spec);

  [[nodiscard]] int vocabulary() const { return vocabulary_; }

 private:
  friend class GrammarState;
  std::shared_ptr<HotaruTextGrammar> handle_;
  int vocabulary_ = 0;
};

// Of one reply; for one thread at a time.
class GrammarState {
 public:
  static Result<GrammarState> begin(const Grammar& grammar);
  // The ids that were generated next.
  Result<void> advance(std::span<const int32_t> ids);
  // Bit i % 64 of word i / 64: id i may follow; words [(vocabulary + 63) / 64]. End ids are set where the text may end.
  Result<void> allowed(std::span<uint64_t> words);

 private:
  std::shared_ptr<HotaruTextGrammarState> handle_;
};

}  // namespace hotaru
