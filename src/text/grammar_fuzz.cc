// Schemas, regular expressions and grammars from a request: refused with a message, or a walk over allowed tokens never
// meets an error it was not told of. The first byte chooses the kind.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "text/grammar.h"

namespace hotaru {
namespace {

constexpr int32_t kEnd = 0;
constexpr int kVocabulary = 259;

const Tokenizer& bytes_tokenizer() {
  static const Tokenizer tokenizer = [] {
    std::string vocabulary = R"("<unk>":0,"\":":1,"true":2)";
    for (int byte = 0; byte < 256; ++byte) vocabulary += fmt::format(",\"<0x{:02X}>\":{}", byte, byte + 3);
    return *Tokenizer::create(
        R"({"version":"1.0","model":{"type":"BPE","byte_fallback":true,"merges":[],"vocab":{)" + vocabulary +
        R"(}},"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"}]}})");
  }();
  return tokenizer;
}

// Of the allowed ids the one that comes first behind `from`.
int32_t pick(const std::vector<uint64_t>& words, uint32_t from) {
  for (uint32_t i = 0; i < kVocabulary; i++) {
    const uint32_t id = (from + i) % kVocabulary;
    if ((words[id / 64] >> (id % 64) & 1) != 0) return static_cast<int32_t>(id);
  }
  return kEnd;
}

void walk(const Grammar& grammar, uint32_t seed) {
  GrammarState state = *GrammarState::begin(grammar);
  std::vector<uint64_t> words((kVocabulary + 63) / 64);
  for (int i = 0; i < 40; i++) {
    const Result<void> allowed = state.allowed(words);
    if (!allowed) {  // too complex: the reply fails with this
      CHECK(!allowed.error().message.empty());
      return;
    }
    const int32_t id = pick(words, seed = seed * 1664525 + 1013904223);
    const Result<void> advanced = state.advance({&id, 1});
    if (id == kEnd || !advanced) return;
  }
}

}  // namespace
}  // namespace hotaru

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::GrammarSpec;
  if (size == 0 || size > 4096) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const GrammarSpec spec = {static_cast<GrammarSpec::Kind>(data[0] % 4), text};
  const auto grammar = hotaru::Grammar::compile(hotaru::bytes_tokenizer(), {{hotaru::kEnd}}, hotaru::kVocabulary, spec);
  if (!grammar) {
    CHECK(!grammar.error().message.empty());
    return 0;
  }
  for (uint32_t seed = 0; seed < 3; seed++) hotaru::walk(*grammar, seed);
  return 0;
}
