#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "text/test_data.h"

namespace hotaru {
namespace {

using namespace test_data;  // NOLINT(google-build-using-namespace)
using Ids = std::vector<int32_t>;

bool is_utf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t j = 1; j < length; ++j) {
      if ((static_cast<unsigned char>(text[i + j]) & 0xC0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

class EveryTokenizer : public testing::TestWithParam<std::string> {
 protected:
  Tokenizer tokenizer_ = load_tokenizer(kSource + "/" + GetParam());
};
INSTANTIATE_TEST_SUITE_P(Files, EveryTokenizer,
                         testing::Values("models/demo/tokenizer.json", "tests/data/tokenizers/llama2_style.json",
                                         "tests/data/tokenizers/metaspace_style.json"),
                         [](const auto& file) { return "n" + std::to_string(file.index); });

TEST_P(EveryTokenizer, PiecesAreUtf8AndAddUpToTheText) {
  std::vector<std::string> texts = read_texts();
  for (const char* text : {"👩‍👩‍👧‍👦 é€😀", "日本語のテキスト", "שלום", "�", "a�b", "e\u0301",
                           "\u00A0\u3000", "\n\n\n"}) {
    texts.emplace_back(text);
  }
  for (const std::string& text : texts) {
    const Ids ids = *tokenizer_.encode(text);
    Detokenizer detokenizer = *Detokenizer::create(tokenizer_);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string piece = *detokenizer.push(id);
      EXPECT_TRUE(is_utf8(piece)) << text;
      streamed += piece;
    }
    EXPECT_EQ(*detokenizer.finish(), "") << text;
    EXPECT_EQ(streamed, *tokenizer_.decode(ids)) << text;
  }
}

TEST_P(EveryTokenizer, RandomIdsGiveUtf8AndEqualDecode) {
  std::mt19937 random(11);
  const auto size = static_cast<uint32_t>(tokenizer_.vocabulary_size());
  for (int round = 0; round < 300; ++round) {
    Ids ids(random() % 40);
    // Every other round only ids of single bytes, which cut characters anywhere.
    const uint32_t limit = round % 2 == 0 ? size + 3 : 259;
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % limit);
    for (const bool skip : {false, true}) {
      const std::string streamed = stream(tokenizer_, ids, {.skip_special_tokens = skip});
      EXPECT_TRUE(is_utf8(streamed));
      EXPECT_EQ(streamed, *tokenizer_.decode(ids, skip));
    }
  }
}

// Bytes leave as soon as their character is complete, not later.
TEST(Detokenizer, HoldsBackOnlyTheUnfinishedCharacter) {
  const Tokenizer tokenizer = load_tokenizer(kTokenizers + "/llama2_style.json");
  Detokenizer detokenizer = *Detokenizer::create(tokenizer);
  const auto byte = [&](const char* token) { return *detokenizer.push(*tokenizer.token_to_id(token)); };
  EXPECT_EQ(byte("<0xE6>"), "");
  EXPECT_EQ(byte("<0x97>"), "");
  EXPECT_EQ(byte("<0xA5>"), "日");
  EXPECT_EQ(byte("<0xF0>"), "");
  EXPECT_EQ(byte("<0x9F>"), "");
  EXPECT_EQ(byte("▁"), "�� ");
  EXPECT_EQ(byte("<0xC3>"), "");
  EXPECT_EQ(byte("<0x41>"), "�A");
  EXPECT_EQ(byte("<0xE2>"), "");
  EXPECT_EQ(*detokenizer.finish(), "�");
}

TEST(Detokenizer, ByteLevelMarksAnUnfinishedCharacterOnce) {
  const Tokenizer tokenizer = load_tokenizer(kDemo + "/tokenizer.json");
  Detokenizer detokenizer = *Detokenizer::create(tokenizer);
  const auto byte = [&](const char* token) { return *detokenizer.push(*tokenizer.token_to_id(token)); };
  EXPECT_EQ(byte("ð"), "");
  EXPECT_EQ(byte("Ł"), "");
  EXPECT_EQ(byte("a"), "�a");
  EXPECT_EQ(byte("ð"), "");
  EXPECT_EQ(byte("Ł"), "");
  EXPECT_EQ(*detokenizer.finish(), "�");
}

TEST(Detokenizer, TheFirstSpaceGoesOnlyAtTheStartOfAText) {
  for (const char* style : {"llama2_style", "metaspace_style"}) {
    const Tokenizer tokenizer = load_tokenizer(kTokenizers + "/" + style + ".json");
    const Ids ids = *tokenizer.encode("the machine");
    EXPECT_EQ(stream(tokenizer, ids), "the machine");
    EXPECT_EQ(stream(tokenizer, ids, {.continues = true}), " the machine");
    const Ids with_bos = *tokenizer.encode("the machine", {.add_special_tokens = true});
    EXPECT_EQ(stream(tokenizer, with_bos), "the machine");
  }
}

TEST(Detokenizer, OutlivesItsTokenizer) {
  auto tokenizer = std::make_unique<Tokenizer>(load_tokenizer(kDemo + "/tokenizer.json"));
  const Ids ids = *tokenizer->encode("still here");
  Detokenizer detokenizer = *Detokenizer::create(*tokenizer);
  tokenizer.reset();
  std::string text;
  for (const int32_t id : ids) text += *detokenizer.push(id);
  EXPECT_EQ(text, "still here");
}

}  // namespace
}  // namespace hotaru
