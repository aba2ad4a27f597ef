#include "genai/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/json.h"
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

std::shared_ptr<Engine> engine_of(LanguageModel::Parts parts) {
  return *Engine::create(*LanguageModel::from_parts(std::move(parts)), {});
}
std::shared_ptr<Engine> demo_engine(int context_tokens = 2048) { return engine_of(demo_parts(context_tokens)); }

TurnOptions options_of(int max_tokens) {
  TurnOptions options;
  options.generation.max_tokens = max_tokens;
  options.generation.sampling.seed = 1;
  options.generation.stop_ids = {kEndOfTurn};
  options.generation.recovery_ids = {kEndOfTurn};
  options.generation.hash_logits = true;
  return options;
}

PromptPart message(std::string_view role, std::string_view text) { return {.text = *message_json(role, text)}; }
PromptPart raw(std::string text) { return {.kind = PromptPart::Kind::kText, .text = std::move(text)}; }

// The turn's reply, part of the chat.
Result<Reply> read(Conversation& chat, Result<Conversation::Turn> turn) {
  if (!turn) return std::move(turn).error();
  while (true) {
    const Result<std::vector<ReplyPiece>> pieces = turn->stream->read(std::chrono::seconds(10));
    if (!pieces) {
      chat.drop();
      return pieces.error();
    }
    if (pieces->empty()) break;
  }
  chat.finish(turn->stream->result());
  return turn->stream->result();
}
Result<Reply> send(Conversation& chat, std::string_view text, const TurnOptions& options) {
  return read(chat, chat.begin({message("user", text)}, options));
}

// The reply that a fresh device gives to the same messages.
Reply fresh_reply(const std::vector<Message>& messages, const TurnOptions& options) {
  const LanguageModel model = *LanguageModel::from_parts(demo_parts());
  Context context = *Context::create(model.device());
  context.append(*model.encode_chat(messages));
  std::optional<ReplyText> text = *model.reply_text({}, false);
  return *generate(context, options.generation, &*text, nullptr);
}

std::string content_of(const std::string& json) { return Json::parse(json)["content"]; }

// A file that is gone when the test ends.
struct TemporaryPath {
  TemporaryPath()
      : path((std::filesystem::temp_directory_path() / fmt::format("hotaru_chat_{}", ::getpid())).string()) {}
  ~TemporaryPath() { std::filesystem::remove(path); }
  TemporaryPath(const TemporaryPath&) = delete;
  TemporaryPath& operator=(const TemporaryPath&) = delete;
  const std::string path;
};

TEST(Conversation, EveryTurnIsWhatAFreshContextWouldSay) {
  Conversation chat = *Conversation::create(demo_engine());
  chat.set_system("Be brief.");
  std::vector<Message> messages = {{"system", "Be brief."}};
  for (const char* text : {"Hello.", "Who are you?", "Tell me a story about a fox.", "Again!"}) {
    const Reply reply = *send(chat, text, options_of(12));
    messages.push_back({"user", text});
    const Reply fresh = fresh_reply(messages, options_of(12));
    EXPECT_EQ(reply.token_ids, fresh.token_ids) << text;
    EXPECT_EQ(reply.logits_sha256, fresh.logits_sha256) << text;
    EXPECT_EQ(reply.text, fresh.text);
    EXPECT_LE(reply.prefilled_tokens, fresh.prefilled_tokens);
    messages.push_back({"assistant", reply.text});
  }
  EXPECT_EQ(chat.messages().size(), 8U);
}

// The model answers in tokens as the tokenizer would cut them, so that the whole last turn is found again.
TEST(Conversation, OnlyWhatIsNewIsPrefilled) {
  LanguageModel::Parts parts = demo_parts();
  auto& device = static_cast<FakeDevice&>(*parts.device);
  const std::vector<int32_t> said = *parts.tokenizer->encode("Once upon a time");
  auto prompt_tokens = std::make_shared<size_t>(0);
  device.set_favourite([=](const std::vector<int32_t>& ids) {
    const size_t count = ids.size() - *prompt_tokens;
    return count < said.size() ? said[count] : kEndOfTurn;
  });
  Conversation chat = *Conversation::create(engine_of(std::move(parts)));
  const LanguageModel& model = chat.engine().model();
  *prompt_tokens = model.encode_chat(std::vector<Message>{{"user", "Hello."}})->size();
  EXPECT_EQ(send(chat, "Hello.", options_of(-1))->text, "Once upon a time");
  const std::vector<Message> messages = {{"user", "Hello."}, {"assistant", "Once upon a time"}, {"user", "More."}};
  const size_t before = *prompt_tokens + said.size();  // the end of turn is sampled, but not stored
  *prompt_tokens = model.encode_chat(messages)->size();
  const Reply reply = *send(chat, "More.", options_of(-1));
  EXPECT_EQ(static_cast<size_t>(reply.prefilled_tokens), *prompt_tokens - before);
}

TEST(Conversation, AfterACutTheNextTurnFindsTheReplyClosed) {
  Conversation chat = *Conversation::create(demo_engine());
  EXPECT_EQ(send(chat, "Hello.", options_of(5))->status, ReplyStatus::kMaxTokens);
  EXPECT_EQ(chat.context_state().ids.back(), kEndOfTurn);
}

TEST(Conversation, ARecoverySequenceOfWordsStaysInTheChat) {
  Conversation chat = *Conversation::create(demo_engine());
  TurnOptions options = options_of(5);
  options.generation.recovery_ids = *chat.engine().model().encode_more_text(" (cut)");
  const Reply first = *send(chat, "Hello.", options);
  const Reply second = *send(chat, "More.", options);
  const std::vector<Message> messages = {{"user", "Hello."}, {"assistant", first.text + " (cut)"}, {"user", "More."}};
  EXPECT_EQ(second.token_ids, fresh_reply(messages, options).token_ids);
  EXPECT_EQ(content_of(chat.messages()[1]), first.text + " (cut)");
}

TEST(Conversation, AnErrorLeavesTheChatAsItWas) {
  Conversation chat = *Conversation::create(demo_engine(256));
  const Reply first = *send(chat, "Hello.", options_of(3));
  std::string long_text;
  for (int i = 0; i < 100; i++) long_text += "A long way. ";
  const Result<Reply> second = send(chat, long_text, options_of(3));
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("context is full"));
  EXPECT_EQ(chat.messages().size(), 2U);
  const Reply third = *send(chat, "Bye.", options_of(3));
  const std::vector<Message> messages = {{"user", "Hello."}, {"assistant", first.text}, {"user", "Bye."}};
  EXPECT_EQ(third.token_ids, fresh_reply(messages, options_of(3)).token_ids);
}

TEST(Conversation, ClearForgetsTheTurnsAndKeepsTheSystemMessage) {
  Conversation chat = *Conversation::create(demo_engine());
  chat.set_system("Be brief.");
  const Reply first = *send(chat, "Hello.", options_of(6));
  send(chat, "More.", options_of(6)).value();
  ASSERT_TRUE(chat.clear());
  EXPECT_TRUE(chat.messages().empty());
  EXPECT_EQ(send(chat, "Hello.", options_of(6))->token_ids, first.token_ids);
}

TEST(Conversation, ACutReplyGoesOnAsIfItHadNotBeenCut) {
  const Reply whole = fresh_reply({{"user", "Hello."}}, options_of(20));
  Conversation chat = *Conversation::create(demo_engine());
  EXPECT_FALSE(chat.resume(options_of(5)));
  const Reply first = *send(chat, "Hello.", options_of(7));
  const Reply second = *read(chat, chat.resume(options_of(13)));
  std::vector<int32_t> ids = first.token_ids;
  ids.insert(ids.end(), second.token_ids.begin(), second.token_ids.end());
  EXPECT_EQ(ids, whole.token_ids);
  ASSERT_EQ(chat.messages().size(), 2U);
  EXPECT_EQ(content_of(chat.messages()[1]), first.text + second.text);
}

// What the engine could go on with is then no part of the chat.
TEST(Conversation, OnlyTheChatsOwnLastReplyCanBeResumed) {
  const TemporaryPath file;
  Conversation chat = *Conversation::create(demo_engine(256));
  ASSERT_TRUE(send(chat, "Hello.", options_of(0)));
  EXPECT_FALSE(chat.resume(options_of(3)));
  EXPECT_EQ(chat.messages().size(), 1U);
  ASSERT_TRUE(read(chat, chat.begin({}, options_of(3))));
  EXPECT_TRUE(chat.can_resume());
  TurnOptions endless = options_of(-1);
  endless.generation.when_full = WhenFull::kError;
  endless.generation.sampling.logit_bias = {{kEndOfTurn, -1000.0F}};
  ASSERT_FALSE(send(chat, "More.", endless));
  const std::vector<std::string> messages = chat.messages();
  EXPECT_EQ(messages.size(), 2U);
  for (int i = 0; i < 2; i++) {
    EXPECT_FALSE(chat.can_resume());
    EXPECT_FALSE(chat.resume(options_of(3)));
    EXPECT_EQ(chat.messages(), messages);
    ASSERT_TRUE(chat.save(file.path));
    chat = *Conversation::load(demo_engine(), file.path);
  }
  EXPECT_TRUE(send(chat, "Bye.", options_of(3)));
  EXPECT_TRUE(chat.can_resume());
}

TEST(Conversation, AFileWhoseRecoveryFollowsNothingIsRefused) {
  const TemporaryPath file;
  const std::shared_ptr<Engine> engine = demo_engine();
  const ContextId context = *engine->create_context(kNoAdapter);
  ASSERT_TRUE(engine->save_context(context, file.path, R"({"messages": [], "recovery": "."})"));
  const Result<Conversation> loaded = Conversation::load(engine, file.path);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("'recovery'"));
}

TEST(Conversation, PrefillOnlyWaitsForTheReply) {
  Conversation chat = *Conversation::create(demo_engine());
  EXPECT_TRUE(send(chat, "Hello.", options_of(0))->token_ids.empty());
  EXPECT_EQ(chat.messages().size(), 1U);
  const Reply reply = *read(chat, chat.begin({}, options_of(6)));
  EXPECT_EQ(reply.token_ids, fresh_reply({{"user", "Hello."}}, options_of(6)).token_ids);
  EXPECT_LE(reply.prefilled_tokens, 1);
}

TEST(Conversation, RawTextFollowsWhatIsThere) {
  Conversation chat = *Conversation::create(demo_engine());
  const LanguageModel& model = chat.engine().model();
  TurnOptions options = options_of(4);
  options.continues_text = true;
  const Reply first = *read(chat, chat.begin({raw("Once upon"), raw(" a time")}, options));
  std::vector<int32_t> wanted = *model.encode_text("Once upon");
  for (const std::vector<int32_t>& more :
       {*model.encode_more_text(" a time"), first.token_ids, options.generation.recovery_ids}) {
    wanted.insert(wanted.end(), more.begin(), more.end());
  }
  EXPECT_EQ(chat.context_state().ids, wanted);
  EXPECT_TRUE(chat.messages().empty());
  // A message now goes through the template by itself and stands behind.
  const std::vector<int32_t> hello = *model.encode_chat(std::vector<Message>{{"user", "Hello."}});
  const Reply second = *send(chat, "Hello.", options_of(4));
  wanted.insert(wanted.end(), hello.begin(), hello.end());
  wanted.insert(wanted.end(), second.token_ids.begin(), second.token_ids.end());
  wanted.push_back(kEndOfTurn);
  EXPECT_EQ(chat.context_state().ids, wanted);
}

TEST(Conversation, ReasoningStaysOutOfTheContext) {
  const auto reply_after = [](const std::string& said, const std::string& begin, const std::string& end) {
    Conversation chat = *Conversation::create(demo_engine());
    chat.set_dropped_marks(begin, end);
    const std::vector<PromptPart> parts = {message("user", "Hello."), message("assistant", said),
                                           message("user", "So?")};
    return read(chat, chat.begin(parts, options_of(6)))->token_ids;
  };
  const auto fresh = [](const std::string& said) {
    return fresh_reply({{"user", "Hello."}, {"assistant", said}, {"user", "So?"}}, options_of(6)).token_ids;
  };
  EXPECT_EQ(reply_after("<t>Hm. Well.</t>\n\nYes.", "<t>", "</t>"), fresh("Yes."));
  EXPECT_EQ(reply_after("<t>Hm.</t>Yes. <t>No.</t>Or?", "<t>", "</t>"), fresh("Yes. Or?"));
  EXPECT_EQ(reply_after("Hm. Well.</t> Yes.", "<t>", "</t>"), fresh("Yes."));
  EXPECT_EQ(reply_after("No. <t>Hm. Well.", "<t>", "</t>"), fresh("No. "));
  EXPECT_EQ(reply_after("<t>Hm.</t>Yes.", "", ""), fresh("<t>Hm.</t>Yes."));
}

TEST(Conversation, ForksGoTheirOwnWays) {
  Conversation chat = *Conversation::create(demo_engine());
  const Reply first = *send(chat, "Hello.", options_of(6));
  Conversation other = *chat.fork();
  const std::vector<Message> here = {{"user", "Hello."}, {"assistant", first.text}, {"user", "More."}};
  const std::vector<Message> there = {{"user", "Hello."}, {"assistant", first.text}, {"user", "Less."}};
  EXPECT_EQ(send(chat, "More.", options_of(6))->token_ids, fresh_reply(here, options_of(6)).token_ids);
  EXPECT_EQ(send(other, "Less.", options_of(6))->token_ids, fresh_reply(there, options_of(6)).token_ids);
}

TEST(Conversation, AFileKeepsTheWholeChat) {
  const TemporaryPath file;
  Conversation chat = *Conversation::create(demo_engine());
  chat.set_system("Be brief.");
  send(chat, "Hello.", options_of(7)).value();
  ASSERT_TRUE(chat.save(file.path));
  Conversation loaded = *Conversation::load(demo_engine(), file.path);
  EXPECT_EQ(loaded.system(), "Be brief.");
  EXPECT_EQ(loaded.messages(), chat.messages());
  EXPECT_EQ(loaded.context_state().ids, chat.context_state().ids);
  EXPECT_EQ(read(loaded, loaded.resume(options_of(9)))->token_ids, read(chat, chat.resume(options_of(9)))->token_ids);
  EXPECT_EQ(loaded.messages(), chat.messages());
  EXPECT_EQ(send(loaded, "More.", options_of(9))->token_ids, send(chat, "More.", options_of(9))->token_ids);
}

TEST(Conversation, AShiftingChatForgetsItsOldestMessagesAndSaysSo) {
  Conversation chat = *Conversation::create(demo_engine(256));
  chat.set_system("Be brief.");
  TurnOptions options = options_of(20);
  options.generation.when_full = WhenFull::kShift;
  int dropped = 0;
  for (int turn = 0; turn < 12; turn++) {
    Result<Conversation::Turn> begun = chat.begin({message("user", "Tell me a story about a fox.")}, options);
    ASSERT_TRUE(begun) << begun.error().message;
    dropped += begun->dropped_messages;
    ASSERT_TRUE(read(chat, std::move(begun)));
    EXPECT_LE(chat.context_state().ids.size(), 256U);
  }
  EXPECT_GT(dropped, 0);
  EXPECT_EQ(static_cast<int>(chat.messages().size()), 24 - dropped);
  const std::vector<int32_t> opening =
      *chat.engine().model().encode_chat(std::vector<Message>{{"system", "Be brief."}, {"user", "Tell"}});
  const std::vector<int32_t> ids = chat.context_state().ids;
  EXPECT_TRUE(std::equal(opening.begin(), opening.begin() + 8, ids.begin()));  // the system message stays
  // Other policies do not.
  EXPECT_FALSE(send(chat, std::string(2000, 'x'), options_of(3)));
}

// More than the quarter that is kept of other contexts.
TEST(Conversation, AFullContextKeepsTheWholeSystemMessageInAReplyAndInItsResumption) {
  Conversation chat = *Conversation::create(demo_engine(256));
  std::string system;
  for (int i = 0; i < 25; i++) system += "Be brief. ";
  chat.set_system(system);
  TurnOptions options = options_of(10);
  options.generation.stop_ids.clear();
  options.generation.when_full = WhenFull::kShift;
  ASSERT_TRUE(send(chat, "Go on!", options));
  const std::vector<int32_t> before = chat.context_state().ids;
  const std::vector<int32_t> system_ids = *chat.engine().model().encode_more_text(system);
  ASSERT_GT(system_ids.size(), 70U);
  options.generation.max_tokens = 250;
  const Result<Reply> resumed = read(chat, chat.resume(options));
  ASSERT_TRUE(resumed);
  EXPECT_GT(resumed->shifts, 0);
  const auto keeps = [&](const std::vector<int32_t>& ids) {
    return std::equal(before.begin(), before.begin() + static_cast<ptrdiff_t>(system_ids.size()), ids.begin());
  };
  EXPECT_TRUE(keeps(chat.context_state().ids));
  ASSERT_TRUE(chat.clear());
  const Result<Reply> whole = send(chat, "Go on!", options);
  ASSERT_TRUE(whole);
  EXPECT_GT(whole->shifts, 0);
  EXPECT_TRUE(keeps(chat.context_state().ids));
  options.generation.keep_tokens = 4;  // the caller's word counts
  ASSERT_TRUE(chat.clear());
  ASSERT_TRUE(send(chat, "Go on!", options));
  EXPECT_FALSE(keeps(chat.context_state().ids));
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
