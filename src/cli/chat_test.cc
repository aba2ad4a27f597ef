#include "cli/chat.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "genai/fake_device.h"
#include "text/text_bundle.h"

namespace hotaru::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

LanguageModel demo_model() {
  LanguageModel::Parts parts;
  parts.name = "demo";
  parts.device = std::make_unique<FakeDevice>(4096, 128);
  const auto bundle = TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
  parts.tokenizer = *Tokenizer::create(bundle->tokenizer_json);
  parts.chat_template = *ChatTemplate::create(*bundle);
  parts.defaults.eos_ids = {4095};
  return *LanguageModel::from_parts(std::move(parts));
}

class ChatTest : public testing::Test {
 protected:
  struct Shown {
    std::string out, err;
  };
  Shown take(const std::string& message) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    next_ = chat_.take(message);
    const std::string out = testing::internal::GetCapturedStdout();
    return {out, testing::internal::GetCapturedStderr()};
  }

  static RunSettings few_tokens() {
    RunSettings settings;
    settings.max_tokens = 8;
    settings.sampling.seed = 1;
    return settings;
  }

  std::shared_ptr<Engine> engine_ = *Engine::create(demo_model(), {});
  Chat chat_ = *Chat::create(engine_, few_tokens());
  Chat::Next next_ = Chat::Next::kGoOn;
};

TEST_F(ChatTest, RepliesGoToStdoutAndNothingElse) {
  const Shown first = take("Hello.");
  EXPECT_GT(first.out.size(), 3U);
  EXPECT_THAT(first.err, IsEmpty());
  EXPECT_NE(take("Hello.").out, first.out);  // the first turn is remembered
  EXPECT_THAT(take("/clear").err, HasSubstr("anew"));
  EXPECT_EQ(take("Hello.").out, first.out);
}

TEST_F(ChatTest, ByeLeaves) {
  take("  ");
  EXPECT_EQ(next_, Chat::Next::kGoOn);
  const Shown shown = take("/bye");
  EXPECT_EQ(next_, Chat::Next::kLeave);
  EXPECT_THAT(shown.out + shown.err, IsEmpty());
}

TEST_F(ChatTest, ParametersAreSetAndShown) {
  EXPECT_THAT(take("/set parameter temperature 0.25").err, IsEmpty());
  EXPECT_THAT(take("/set  parameter  top_k  40").err, IsEmpty());
  EXPECT_THAT(take("/set parameter stop The End").err, IsEmpty());
  EXPECT_THAT(take("/set system Be kind to all.").err, IsEmpty());
  EXPECT_THAT(take("/show").err, AllOf(HasSubstr("temperature         0.25"), HasSubstr("top_k               40"),
                                       HasSubstr("\"The End\""), HasSubstr("Be kind to all.")));
}

TEST_F(ChatTest, WrongCommandsSayWhatIsWantedAndChangeNothing) {
  EXPECT_THAT(take("/set parameter temperature hot").err, HasSubstr("temperature: got 'hot', want a number"));
  EXPECT_THAT(take("/set parameter top_p 2").err, HasSubstr("top_p: got 2, want a number from 0 to 1"));
  EXPECT_THAT(take("/set parameter wit 2").err, AllOf(HasSubstr("no parameter 'wit'"), HasSubstr("min_p")));
  EXPECT_THAT(take("/set temperature 2").err, HasSubstr("want /set parameter NAME VALUE"));
  EXPECT_THAT(take("/save").err, HasSubstr("want /save FILE"));
  EXPECT_THAT(take("/load /nothing/here").err, HasSubstr("/nothing/here"));
  EXPECT_THAT(take("/resume").err, HasSubstr("no cut reply"));
  EXPECT_THAT(take("/lora nobody").err, HasSubstr("no adapter 'nobody'"));
  EXPECT_THAT(take("/jump").err, HasSubstr("/help"));
  EXPECT_THAT(take("/show").err, AllOf(HasSubstr("temperature         1\n"), HasSubstr("top_p               1\n")));
}

TEST_F(ChatTest, ASavedChatGoesOnWhereItWas) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("hotaru_saved_chat_{}", ::getpid())).string();
  take("/set system Be kind to all.");
  take("Hello.");
  EXPECT_THAT(take("/save " + path).err, HasSubstr(path));
  const std::string next = take("And then?").out;
  take("/set system Be rude.");
  take("/clear");
  EXPECT_THAT(take("/load " + path).err, AllOf(HasSubstr("2 messages"), HasSubstr("/resume")));
  EXPECT_THAT(take("/show").err, HasSubstr("Be kind to all."));
  EXPECT_EQ(take("And then?").out, next);
  std::filesystem::remove(path);
}

TEST_F(ChatTest, AStoppedReplyGoesOn) {
  take("/set parameter max_tokens 16");
  const std::string whole = take("Hello.").out;
  take("/clear");
  take("/set parameter max_tokens 6");
  const std::string first = take("Hello.").out;
  take("/set parameter max_tokens 10");
  const std::string second = take("/resume").out;
  const auto without_end = [](const std::string& text) { return text.substr(0, text.size() - 2); };  // two newlines
  EXPECT_EQ(without_end(first) + second, whole);
}

TEST_F(ChatTest, AFullContextSaysHowToGoOn) {
  std::string long_text;
  for (int i = 0; i < 100; i++) long_text += "A long way. ";
  EXPECT_THAT(take(long_text).err, HasSubstr("/clear begins a new conversation"));
  EXPECT_GT(take("Hello.").out.size(), 3U);
}

}  // namespace
}  // namespace hotaru::cli
