#include "text/text_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/chat_template.h"
#include "text/test_data.h"

namespace hotaru {
namespace {

using namespace test_data;  // NOLINT(google-build-using-namespace)
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

// GPT-2's alphabet and one merge; not a full one.
const char* const kVocabulary = R"({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ċ": 4, "<|endoftext|>": 5})";
const char* const kMerges = "#version: 0.2\na b\n";

TEST(TextBundle, DemoHasEverything) {
  const TextBundle bundle = *TextBundle::load(kDemo);
  EXPECT_EQ(bundle.chat_template, *read_text_file(kDemo + "/chat_template.jinja"));
  EXPECT_EQ(bundle.special_tokens,
            (std::map<std::string, std::string>{{"eos_token", "<|im_end|>"}, {"pad_token", "<|endoftext|>"}}));
  EXPECT_FALSE(bundle.adds_bos);
  EXPECT_LT(bundle.tokenizer_json.size(), 150'000U);
}

TEST(TextBundle, CanonicalTokenizerIsStable) {
  const TextBundle bundle = *TextBundle::load(kDemo);
  const Directory directory;
  directory.write("tokenizer.json", bundle.tokenizer_json);
  EXPECT_TRUE(TextBundle::load(directory.path())->tokenizer_json == bundle.tokenizer_json);
}

TEST(TextBundle, JsonRoundTrip) {
  TextBundle bundle = *TextBundle::load(kDemo);
  bundle.tool_use_template = "{{ tools }} é \"quoted\"\n";
  bundle.adds_bos = true;
  const TextBundle copy = *TextBundle::from_json(bundle.tokenizer_json, bundle.to_json());
  EXPECT_EQ(copy.to_json(), bundle.to_json());
  EXPECT_EQ(copy.tool_use_template, bundle.tool_use_template);
  EXPECT_EQ(copy.special_tokens, bundle.special_tokens);
  EXPECT_TRUE(copy.adds_bos);
  for (const char* bad : {"", "[]", R"({"adds_bos": 1})", R"({"special_tokens": []})",
                          R"({"special_tokens": {"bos_token": 1}})", R"({"chat_template": {}})"}) {
    EXPECT_FALSE(TextBundle::from_json("", bad)) << bad;
  }
}

TEST(TextBundle, NoTokenizerIsNotFound) {
  const Directory directory;
  EXPECT_EQ(TextBundle::load(directory.path()).error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(TextBundle::load(directory.path() + "/absent").error().kind, ErrorKind::kNotFound);
  directory.write("vocab.json", kVocabulary);
  const Error alone = TextBundle::load(directory.path()).error();
  EXPECT_EQ(alone.kind, ErrorKind::kNotFound);
  EXPECT_THAT(alone.message, HasSubstr("want tokenizer.json, or vocab.json and merges.txt"));
  directory.write("tokenizer.model", "\n");
  EXPECT_EQ(TextBundle::load(directory.path()).error().kind, ErrorKind::kNotSupported);
}

// transformers 5 makes a sentencepiece-derived LlamaTokenizer by its class, whatever normalizer its file has.
TEST(TextBundle, LlamaTokenizerIsMadeByItsClass) {
  const Directory directory;
  directory.write("tokenizer.json", *read_text_file(kTokenizers + "/llama2_style.json"));
  struct Case {
    const char* config;
    const char* want;
  };
  for (const Case& c :
       {Case{R"({"tokenizer_class": "LlamaTokenizer"})", R"("prepend_scheme":"first")"},
        Case{R"({"tokenizer_class": "LlamaTokenizerFast", "legacy": true})", R"("prepend_scheme":"always")"},
        Case{R"({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": false})", R"("prepend_scheme":"never")"},
        Case{R"({"tokenizer_class": "PreTrainedTokenizerFast"})", R"("type":"Prepend")"}}) {
    directory.write("tokenizer_config.json", c.config);
    const auto bundle = TextBundle::load(directory.path());
    ASSERT_TRUE(bundle.ok()) << bundle.error().message;
    EXPECT_THAT(bundle->tokenizer_json, HasSubstr(c.want)) << c.config;
  }
}

TEST(TextBundle, Gpt2FromVocabAndMerges) {
  const Directory directory;
  directory.write("vocab.json", kVocabulary);
  directory.write("merges.txt", kMerges);
  EXPECT_EQ(TextBundle::load(directory.path()).error().kind, ErrorKind::kNotSupported);
  directory.write("config.json", R"({"model_type": "gpt2"})");
  directory.write("special_tokens_map.json", R"({"eos_token": "<|endoftext|>"})");
  const TextBundle bundle = *TextBundle::load(directory.path());
  const Tokenizer tokenizer = *Tokenizer::create(bundle.tokenizer_json);
  EXPECT_EQ(*tokenizer.encode("ab a\n<|endoftext|>"), (Ids{2, 3, 0, 4, 5}));
  EXPECT_EQ(*tokenizer.special_ids(), Ids{5});
  EXPECT_EQ(bundle.special_tokens.at("eos_token"), "<|endoftext|>");

  directory.write("tokenizer_config.json",
                  R"({"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "add_bos_token": true})");
  const TextBundle with_bos = *TextBundle::load(directory.path());
  EXPECT_TRUE(with_bos.adds_bos);
  const EncodeOptions special = {.add_special_tokens = true};
  EXPECT_EQ(*Tokenizer::create(with_bos.tokenizer_json)->encode("ab", special), (Ids{5, 2}));
}

TEST(TextBundle, LlamaFollowsAddBosAndAddEos) {
  const Directory directory;
  directory.copy(kTokenizers + "/llama2_style.json", "tokenizer.json");
  const auto ids = [&](const std::string& config) {
    directory.write("tokenizer_config.json", config);
    const TextBundle bundle = *TextBundle::load(directory.path());
    const Ids result = *Tokenizer::create(bundle.tokenizer_json)->encode("", {.add_special_tokens = true});
    EXPECT_EQ(bundle.adds_bos, !result.empty() && result[0] == 1);
    return result;
  };
  const std::string tokens = R"("tokenizer_class": "LlamaTokenizer", "eos_token": {"content": "</s>"}, )"
                             R"("bos_token": {"content": "<s>", "lstrip": false, "special": true})";
  EXPECT_EQ(ids("{" + tokens + "}"), Ids{1});
  EXPECT_EQ(ids("{" + tokens + R"(, "add_bos_token": true, "add_eos_token": true})"), (Ids{1, 2}));
  EXPECT_EQ(ids("{" + tokens + R"(, "add_bos_token": false})"), Ids{});
  EXPECT_EQ(ids("{" + tokens + R"(, "add_eos_token": true})"), (Ids{1, 2}));
  directory.write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true})");
  EXPECT_THAT(TextBundle::load(directory.path()).error().message, HasSubstr("'bos_token' is not"));
}

TEST(TextBundle, WhereTheChatTemplateComesFrom) {
  const Directory directory;
  directory.copy(kTokenizers + "/llama2_style.json", "tokenizer.json");
  const auto load = [&] { return *TextBundle::load(directory.path()); };
  EXPECT_EQ(load().chat_template, "");
  directory.write("tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(load().chat_template, "one");
  directory.write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "two"},
      {"name": "tool_use", "template": "three"}, {"name": "rag", "template": "four"}]})");
  EXPECT_EQ(load().chat_template, "two");
  EXPECT_EQ(load().tool_use_template, "three");
  directory.write("chat_template.jinja", "five");
  EXPECT_EQ(load().chat_template, "five");
  EXPECT_EQ(load().tool_use_template, "");
  directory.write("tokenizer_config.json", R"({"chat_template": 6})");
  EXPECT_THAT(TextBundle::load(directory.path()).error().message, HasSubstr("'chat_template'"));
}

TEST(TextBundle, AddedTokensMustHaveTheDeclaredIds) {
  const Directory directory;
  directory.copy(kTokenizers + "/llama2_style.json", "tokenizer.json");
  const int32_t next = load_tokenizer(kTokenizers + "/llama2_style.json").vocabulary_size();
  const auto declare = [&](int32_t id) {
    directory.write("tokenizer_config.json", R"({"added_tokens_decoder": {")" + std::to_string(id) +
                                                 R"(": {"content": "<new>", "special": true}}})");
    return TextBundle::load(directory.path());
  };
  const auto bundle = declare(next);
  ASSERT_TRUE(bundle) << bundle.error().message;
  EXPECT_EQ(Tokenizer::create(bundle->tokenizer_json)->token_to_id("<new>"), next);
  const auto wrong = declare(next + 5);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("'<new>' is declared as id " + std::to_string(next + 5)));
  directory.write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<new>"}}})");
  EXPECT_FALSE(TextBundle::load(directory.path()));
}

TEST(TextBundle, BadFilesNameThemselves) {
  const Directory directory;
  const auto message = [&] { return TextBundle::load(directory.path()).error().message; };
  directory.write("tokenizer.json", "{");
  EXPECT_THAT(message(), HasSubstr("tokenizer.json"));
  directory.write("tokenizer_config.json", "[]");
  EXPECT_THAT(message(), HasSubstr("tokenizer_config.json"));
  const Directory qwen;
  qwen.write("vocab.json", kVocabulary);
  qwen.write("merges.txt", "a b\nab\n");
  qwen.write("tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})");
  EXPECT_THAT(TextBundle::load(qwen.path()).error().message, HasSubstr("merges.txt line 2"));
  qwen.write("merges.txt", "a c\n");
  EXPECT_THAT(TextBundle::load(qwen.path()).error().message, HasSubstr("`c` out of vocabulary"));
}

}  // namespace
}  // namespace hotaru
