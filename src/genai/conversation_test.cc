#include "genai/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "genai/fake_device.h"
#include "text/text_bundle.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

constexpr int kVocabulary = 4096;
constexpr int32_t kEndOfTurn = 4095;

LanguageModel::Parts demo_parts(int context_tokens = 2048) {
  LanguageModel::Parts parts;
  parts.name = "demo";
  parts.device = std::make_unique<FakeDevice>(kVocabulary, context_tokens);
  const auto bundle = TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
  parts.tokenizer = *Tokenizer::create(bundle->tokenizer_json);
  parts.chat_template = *ChatTemplate::create(*bundle);
  parts.defaults.eos_ids = {kEndOfTurn};
  return parts;
}

FakeDevice& fake(const LanguageModel& model) { return static_cast<FakeDevice&>(model.device()); }

GenerationOptions options_of(int max_tokens) {
  GenerationOptions options;
  options.max_tokens = max_tokens;
  options.sampling.seed = 1;
  options.stop_ids = {kEndOfTurn};
  options.recovery_ids = {kEndOfTurn};
  options.hash_logits = true;
  return options;
}

// The reply that a fresh context gives to the same messages.
Reply fresh_reply(const LanguageModel& model, const std::vector<Message>& messages, const GenerationOptions& options) {
  Context context = *Context::create(model.device());
  context.append(*model.encode_chat(messages));
  std::optional<ReplyText> text = *model.reply_text({}, false);
  return *generate(context, options, &*text, nullptr);
}

TEST(Conversation, PrefixTokensAreNotFed) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts());
  const std::vector<int32_t> ids = *model.encode_chat(std::vector<Message>{{"user", "Hello."}});
  fake(model).set_prefix({ids[0]});
  Conversation chat = *Conversation::create(model);
  const Reply reply = *chat.send("Hello.", options_of(1), {}, nullptr);
  EXPECT_EQ(reply.prefilled_tokens, static_cast<int>(ids.size()) - 1);
  EXPECT_EQ(chat.context().ids()[0], ids[1]);
  EXPECT_EQ(model.after_prefix(std::vector<int32_t>{ids[1], ids[0]}).size(), 2U);  // begins otherwise
  EXPECT_EQ(model.after_prefix(std::vector<int32_t>{ids[0]}).size(), 1U);          // of nothing else
}

TEST(Conversation, EveryTurnIsWhatAFreshContextWouldSay) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts());
  Conversation chat = *Conversation::create(model);
  chat.set_system("Be brief.");
  std::vector<Message> messages = {{"system", "Be brief."}};
  for (const char* text : {"Hello.", "Who are you?", "Tell me a story about a fox.", "Again!"}) {
    const Reply reply = *chat.send(text, options_of(12), {}, nullptr);
    messages.push_back({"user", text});
    const Reply fresh = fresh_reply(model, messages, options_of(12));
    EXPECT_EQ(reply.token_ids, fresh.token_ids) << text;
    EXPECT_EQ(reply.logits_sha256, fresh.logits_sha256) << text;
    EXPECT_EQ(reply.text, fresh.text);
    EXPECT_LE(reply.prefilled_tokens, fresh.prefilled_tokens);
    messages.push_back({"assistant", reply.text});
  }
  EXPECT_EQ(chat.turns().size(), 8U);
}

// The model answers in tokens as the tokenizer would cut them, so that the whole last turn is found again.
TEST(Conversation, OnlyWhatIsNewIsPrefilled) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts());
  const std::vector<int32_t> said = *model.encode_text("Once upon a time");
  size_t prompt_tokens = model.encode_chat(std::vector<Message>{{"user", "Hello."}})->size();
  fake(model).set_favourite([&](const std::vector<int32_t>& ids) {
    const size_t count = ids.size() - prompt_tokens;
    return count < said.size() ? said[count] : kEndOfTurn;
  });
  Conversation chat = *Conversation::create(model);
  EXPECT_EQ(chat.send("Hello.", options_of(-1), {}, nullptr)->text, "Once upon a time");
  const std::vector<Message> messages = {{"user", "Hello."}, {"assistant", "Once upon a time"}, {"user", "More."}};
  const size_t before = prompt_tokens + said.size();  // the end of turn is sampled, but not stored
  prompt_tokens = model.encode_chat(messages)->size();
  const Reply reply = *chat.send("More.", options_of(-1), {}, nullptr);
  EXPECT_EQ(static_cast<size_t>(reply.prefilled_tokens), prompt_tokens - before);
}

TEST(Conversation, AfterACutTheNextTurnFindsTheReplyClosed) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts());
  Conversation chat = *Conversation::create(model);
  EXPECT_EQ(chat.send("Hello.", options_of(5), {}, nullptr)->status, ReplyStatus::kMaxTokens);
  EXPECT_EQ(chat.context().ids().back(), kEndOfTurn);
}

TEST(Conversation, AnErrorLeavesTheChatAsItWas) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts(256));
  Conversation chat = *Conversation::create(model);
  const Reply first = *chat.send("Hello.", options_of(3), {}, nullptr);
  std::string long_text;
  for (int i = 0; i < 100; i++) long_text += "A long way. ";
  const Result<Reply> second = chat.send(long_text, options_of(3), {}, nullptr);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("context is full"));
  EXPECT_EQ(chat.turns().size(), 2U);
  const Reply third = *chat.send("Bye.", options_of(3), {}, nullptr);
  const std::vector<Message> messages = {{"user", "Hello."}, {"assistant", first.text}, {"user", "Bye."}};
  EXPECT_EQ(third.token_ids, fresh_reply(model, messages, options_of(3)).token_ids);
}

TEST(Conversation, ClearForgetsTheTurnsAndKeepsTheSystemMessage) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts());
  Conversation chat = *Conversation::create(model);
  chat.set_system("Be brief.");
  const Reply first = *chat.send("Hello.", options_of(6), {}, nullptr);
  chat.send("More.", options_of(6), {}, nullptr).value();
  chat.clear();
  EXPECT_TRUE(chat.turns().empty());
  EXPECT_EQ(chat.send("Hello.", options_of(6), {}, nullptr)->token_ids, first.token_ids);
}

TEST(LanguageModel, SaysWhatIsMissing) {
  LanguageModel::Parts parts = demo_parts();
  parts.chat_template.reset();
  const LanguageModel no_template = *LanguageModel::from_parts(std::move(parts));
  EXPECT_THAT(no_template.encode_chat(std::vector<Message>{{"user", "x"}}).error().message,
              HasSubstr("no chat template"));
  EXPECT_TRUE(no_template.encode_text("x"));

  parts = demo_parts();
  parts.tokenizer.reset();
  const LanguageModel no_tokenizer = *LanguageModel::from_parts(std::move(parts));
  EXPECT_THAT(no_tokenizer.encode_text("x").error().message, HasSubstr("no tokenizer"));
  EXPECT_THAT(no_tokenizer.reply_text({"stop"}, false).error().message, HasSubstr("no tokenizer"));
  EXPECT_FALSE(no_tokenizer.reply_text({}, false)->has_value());
}

TEST(LanguageModel, RefusesIdsOutsideTheVocabulary) {
  LanguageModel::Parts parts = demo_parts();
  parts.defaults.eos_ids = {kVocabulary};
  EXPECT_THAT(LanguageModel::from_parts(std::move(parts)).error().message, HasSubstr("token id 4096"));

  parts = demo_parts();
  parts.defaults.eos_ids = {};
  parts.device = std::make_unique<FakeDevice>(256);  // smaller than the tokenizer's vocabulary
  const LanguageModel model = *LanguageModel::from_parts(std::move(parts));
  EXPECT_THAT(model.encode_text("the story").error().message, HasSubstr("not in the vocabulary, want 0 to 255"));
  EXPECT_FALSE(model.check_ids(std::vector<int32_t>{-1}));
}

TEST(LanguageModel, NoTextIsTheBosToken) {
  LanguageModel::Parts parts = demo_parts();
  parts.defaults.bos_id = 4093;
  EXPECT_EQ(*LanguageModel::from_parts(std::move(parts))->encode_text(""), std::vector<int32_t>{4093});
  EXPECT_TRUE(LanguageModel::from_parts(demo_parts())->encode_text("")->empty());
}

TEST(LanguageModel, TextThatIsNotUtf8IsRefused) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts());
  EXPECT_THAT(model.encode_text("a\xFF").error().message, HasSubstr("utf-8"));
  EXPECT_THAT(model.encode_chat(std::vector<Message>{{"user", "a\xFF"}}).error().message, HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace hotaru
