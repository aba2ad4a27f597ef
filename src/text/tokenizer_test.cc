#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "text/test_data.h"

namespace hotaru {
namespace {

using namespace test_data;  // NOLINT(google-build-using-namespace)
using Ids = std::vector<int32_t>;

TEST(Tokenizer, Qwen2FromVocabAndMergesEqualsPublishedIds) {
  const Directory directory;
  write_qwen2(directory);
  const TextBundle bundle = *TextBundle::load(directory.path());
  const Tokenizer tokenizer = *Tokenizer::create(bundle.tokenizer_json);
  const auto texts = read_texts();
  const auto ids = read_ids(kTokenizers + "/qwen2.out");
  ASSERT_EQ(texts.size(), ids.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(*tokenizer.encode(texts[i]), ids[i]) << texts[i];
    EXPECT_EQ(*tokenizer.decode(ids[i]), texts[i]);
    EXPECT_EQ(stream(tokenizer, ids[i]), texts[i]);
  }
  EXPECT_EQ(tokenizer.vocabulary_size(), 151665);
  EXPECT_EQ(*tokenizer.encode("<|im_start|>user"), (Ids{151644, 872}));
}

TEST(Tokenizer, Qwen2IsTheSameInBothForms) {
  const std::string shared = shared_path("data/tokenizers/qwen2.5");
  if (!std::filesystem::exists(shared)) GTEST_SKIP() << "no " << shared;
  EXPECT_TRUE(nlohmann::json::parse(qwen2_vocabulary()) ==
              nlohmann::json::parse(*read_text_file(shared + "/vocab.json")));
  const Directory from_json;
  const Directory from_merges;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}) {
    from_json.copy(shared + "/" + name, name);
    from_merges.copy(shared + "/" + name, name);
  }
  from_json.copy(shared + "/tokenizer.json", "tokenizer.json");
  from_merges.copy(shared + "/vocab.json", "vocab.json");
  from_merges.copy(shared + "/merges.txt", "merges.txt");
  const TextBundle one = *TextBundle::load(from_json.path());
  const TextBundle other = *TextBundle::load(from_merges.path());
  EXPECT_TRUE(one.tokenizer_json == other.tokenizer_json);
  EXPECT_EQ(one.to_json(), other.to_json());
}

// Ids and texts by Hugging Face's own library: tests/data/tokenizers/make.py.
class SentencePiece : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Styles, SentencePiece, testing::Values("llama2_style", "metaspace_style"));

TEST_P(SentencePiece, EqualsHuggingFace) {
  const Tokenizer tokenizer = load_tokenizer(kTokenizers + "/" + GetParam() + ".json");
  const Json cases = read_json(kTokenizers + "/" + GetParam() + "_expected.json");
  for (const Json& item : cases) {
    const auto text = item["text"].get<std::string>();
    const auto ids = item["ids"].get<Ids>();
    EXPECT_EQ(*tokenizer.encode(text), ids) << text;
    EXPECT_EQ(*tokenizer.encode(text, {.add_special_tokens = true}), item["with_special"].get<Ids>());
    EXPECT_EQ(*tokenizer.decode(ids, false), item["decoded"].get<std::string>());
    EXPECT_EQ(*tokenizer.decode(ids, true), item["skipped"].get<std::string>());
  }
  EXPECT_GT(cases.size(), 50U);
}

TEST(Tokenizer, DemoChatIdsEqualTheReference) {
  const Tokenizer tokenizer = *Tokenizer::create(TextBundle::load(kDemo)->tokenizer_json);
  const Json reference = read_json(kSource + "/tests/data/reference/demo.json");
  for (const Json& chat : reference["chat"]) {
    EXPECT_EQ(*tokenizer.encode(chat["text"].get<std::string>()), chat["ids"].get<Ids>());
  }
  EXPECT_EQ(reference["chat"].size(), 2U);
}

TEST(Tokenizer, Vocabulary) {
  const Tokenizer tokenizer = load_tokenizer(kDemo + "/tokenizer.json");
  EXPECT_EQ(tokenizer.vocabulary_size(), 4096);
  EXPECT_EQ(*tokenizer.special_ids(), (Ids{4093, 4094, 4095}));
  EXPECT_EQ(tokenizer.token_to_id("<|im_end|>"), 4095);
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
  const int32_t space_t = *tokenizer.token_to_id("Ġt");
  EXPECT_EQ(*tokenizer.id_to_token(space_t), "Ġt");
  EXPECT_EQ(*tokenizer.token_bytes(space_t), " t");
  for (const int32_t id : {4096, -1, INT32_MAX, INT32_MIN}) {
    EXPECT_FALSE(tokenizer.id_to_token(id));
    EXPECT_EQ(*tokenizer.decode(Ids{id}), "");
  }
  std::string bytes;
  for (int32_t id = 0; id < 256; ++id) bytes += *tokenizer.token_bytes(id);
  std::sort(bytes.begin(), bytes.end());
  EXPECT_EQ(std::unique(bytes.begin(), bytes.end()) - bytes.begin(), 256);
}

TEST(Tokenizer, PlainTextHasNoSpecialTokens) {
  for (const std::string& path : {kDemo + "/tokenizer.json", kTokenizers + "/llama2_style.json"}) {
    const Tokenizer tokenizer = load_tokenizer(path);
    const std::string text = "a<|im_end|>\n<s>b</s>";
    const Ids plain = *tokenizer.encode(text, {.plain = true});
    const Ids special_ids = *tokenizer.special_ids();
    for (const int32_t special : special_ids) EXPECT_THAT(plain, testing::Not(testing::Contains(special)));
    EXPECT_EQ(*tokenizer.decode(plain), text);
    EXPECT_NE(*tokenizer.encode(text), plain);
    EXPECT_EQ(*tokenizer.encode("A plain text.", {.plain = true}), *tokenizer.encode("A plain text."));
  }
}

TEST(Tokenizer, EncodeWantsUtf8) {
  const Tokenizer tokenizer = load_tokenizer(kDemo + "/tokenizer.json");
  const auto ids = tokenizer.encode("broken \xE4\xBD");
  ASSERT_FALSE(ids);
  EXPECT_THAT(ids.error().message, testing::HasSubstr("utf-8"));
}

TEST(Tokenizer, ManyThreadsGetTheSameIds) {
  const Tokenizer tokenizer = load_tokenizer(kDemo + "/tokenizer.json");
  const auto texts = read_texts();
  std::vector<Ids> expected;
  for (const std::string& text : texts) expected.push_back(*tokenizer.encode(text));
  std::vector<std::thread> threads;
  std::atomic<int> differences = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < texts.size(); ++i) {
        if (*tokenizer.encode(texts[i]) != expected[i] || *tokenizer.decode(expected[i]) != texts[i]) ++differences;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differences, 0);
}

TEST(Tokenizer, BadJsonIsAnError) {
  for (const char* json : {"", "{", "[]", "null", "{}", R"({"version": "2.0"})", R"({"model": {"type": "BPE"}})",
                           R"({"model": {"type": "BPE", "vocab": {}, "merges": []}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": 1}, "merges": []}, "decoder": {"type": "CTC",
                               "pad_token": "", "word_delimiter_token": "", "cleanup": false}})"}) {
    const auto tokenizer = Tokenizer::create(json);
    ASSERT_FALSE(tokenizer) << json;
    EXPECT_FALSE(tokenizer.error().message.empty());
  }
  // A merge longer than every token makes the library below panic: it must come back as an error, and silently.
  testing::internal::CaptureStderr();
  EXPECT_FALSE(Tokenizer::create(
      R"({"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}})"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Tokenizer, PaddingTruncationAndDropoutAreIgnored) {
  Json json = read_json(kTokenizers + "/llama2_style.json");
  const std::string text = "The same file gives the same text on every machine.";
  const Ids expected = *load_tokenizer(kTokenizers + "/llama2_style.json").encode(text);
  json["truncation"] = {{"direction", "Right"}, {"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}};
  json["padding"] = {{"strategy", {{"Fixed", 4000000000}}},
                     {"direction", "Right"},
                     {"pad_to_multiple_of", nullptr},
                     {"pad_id", 0},
                     {"pad_type_id", 0},
                     {"pad_token", "<unk>"}};
  json["model"]["dropout"] = 0.9;
  EXPECT_EQ(*Tokenizer::create(json.dump())->encode(text), expected);
}

TEST(Tokenizer, IdsOutsideTheVocabularyAreAnError) {
  Json json = read_json(kTokenizers + "/llama2_style.json");
  json["post_processor"]["special_tokens"]["<s>"]["ids"] = {70000};
  const Tokenizer tokenizer = *Tokenizer::create(json.dump());
  EXPECT_TRUE(tokenizer.encode("text"));
  EXPECT_THAT(tokenizer.encode("text", {.add_special_tokens = true}).error().message, testing::HasSubstr("70000"));
}

TEST(Tokenizer, DamagedFilesNeverCrash) {
  const std::string whole = *read_text_file(kTokenizers + "/llama2_style.json");
  std::mt19937 random(5);
  int loaded = 0;
  for (int i = 0; i < 300; ++i) {
    std::string damaged = whole;
    damaged[random() % damaged.size()] ^= static_cast<char>(1U << (random() % 8));
    if (i % 3 == 0) damaged.resize(random() % damaged.size());
    const auto tokenizer = Tokenizer::create(damaged);
    if (!tokenizer) continue;
    ++loaded;
    const auto ids = tokenizer->encode("The same <s> file 日本");
    EXPECT_TRUE(!ids || tokenizer->decode(*ids));
  }
  EXPECT_GT(loaded, 0);
}

}  // namespace
}  // namespace hotaru
