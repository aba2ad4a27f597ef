#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "api/fake_llm.h"
#include "hotaru/hotaru.h"

namespace hotaru::genai {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Of the reply, by read() alone, as RUNTIME's example does.
std::vector<std::string> pieces_of(LLMGeneratorCompletion& reply) {
  std::vector<std::string> pieces;
  while (reply.generation_status() == Status::GENERATING) pieces.push_back(reply.read().expect("read"));
  return pieces;
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

LLMGeneratorParams limited(const LLM& llm, uint32_t count) {
  LLMGeneratorParams params = llm.create_generator_params();
  params.set_max_generated_tokens(count).expect("count");
  params.set_seed(1);
  return params;
}

TEST(Completion, PiecesAreWholeCharactersAndTheEndIsLogical) {
  const std::string said = "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x8C\x9F!";  // bytes, to this tokenizer
  FakeLlm fake(said);
  LLMGeneratorCompletion reply = fake.llm.generate(kHello).expect("generate");
  EXPECT_EQ(reply.generation_status(), Status::GENERATING);
  const std::vector<std::string> pieces = pieces_of(reply);
  EXPECT_EQ(joined(pieces), said);
  for (const std::string& piece : pieces) {
    EXPECT_TRUE(piece.empty() || (piece.front() & 0xC0) != 0x80) << piece;  // none begins inside a character
  }
  EXPECT_EQ(reply.generation_status(), Status::LOGICAL_END_OF_GENERATION);
  EXPECT_EQ(reply.read().value(), "");  // after the end
  EXPECT_GT(reply.generated_tokens(), 10U);
  EXPECT_GT(reply.prefilled_tokens(), 5U);
}

TEST(Completion, RangeForReadsIt) {
  FakeLlm fake("Once upon a time.");
  LLMGeneratorCompletion reply = fake.llm.generate(kHello).expect("generate");
  std::string text;
  for (const auto& piece : reply) text += piece.value();
  EXPECT_EQ(text, "Once upon a time.");
}

TEST(Completion, TokensCarryIdsAndLogprobs) {
  FakeLlm fake("Once upon a time.");
  LLMGeneratorParams params = fake.llm.create_generator_params();
  params.set_top_logprobs(3).expect("logprobs");
  LLMGeneratorCompletion reply = fake.llm.generate(params, kHello).expect("generate");
  std::string text;
  std::vector<int> ids;
  while (const std::optional<LLMToken> token = reply.read_token().expect("read")) {
    text += token->text;
    ids.push_back(token->id);
    ASSERT_EQ(token->top.size(), 3U);
    EXPECT_EQ(token->top[0].id, token->id);  // the script's logit stands above all others
    EXPECT_EQ(token->top[0].logprob, token->logprob);
    EXPECT_GE(token->top[1].logprob, token->top[2].logprob);
  }
  std::vector<int> wanted = fake.llm.tokenize("Once upon a time.").value();
  wanted.push_back(kEndOfTurn);
  EXPECT_EQ(ids, wanted);
  EXPECT_EQ(text, "Once upon a time.");
}

TEST(Completion, StopStringsMatchAcrossTokensAndAreNotShown) {
  FakeLlm fake("Once upon a time there was a fox.");
  LLMGeneratorParams params = fake.llm.create_generator_params();
  params.set_stop_strings({"n a tim", "fox"});
  LLMGeneratorCompletion reply = fake.llm.generate(params, kHello).expect("generate");
  EXPECT_EQ(joined(pieces_of(reply)), "Once upo");
  EXPECT_EQ(reply.generation_status(), Status::LOGICAL_END_OF_GENERATION);
}

TEST(Completion, StopTokensReplaceTheModelsOwn) {
  FakeLlm fake("Once upon a time.");
  EXPECT_EQ(fake.llm.get_stop_tokens().value().size(), 1U);
  fake.llm.set_stop_tokens({" a time"}).expect("stop");
  EXPECT_EQ(fake.llm.generate(limited(fake.llm, 30), kHello).value().read_all().value(), "Once upon");
  fake.llm.set_stop_tokens({}).expect("stop");
  EXPECT_EQ(fake.llm.generate(limited(fake.llm, 30), kHello).value().read_all().value(), "Once upon a time.");
  fake.llm.set_stop_tokens({"never"}).expect("stop");  // the end of turn is said, and ends nothing
  LLMGeneratorCompletion reply = fake.llm.generate(limited(fake.llm, 30), kHello).value();
  reply.read_all().expect("read");
  EXPECT_EQ(reply.generation_status(), Status::MAX_TOKENS_REACHED);
  EXPECT_FALSE(fake.llm.set_stop_tokens({""}));
}

TEST(Completion, MaxTokensCutsAndTheRecoverySequenceFollowsUncounted) {
  FakeLlm fake("Once upon a time there was a fox.");
  const size_t prompt = [&] {
    fake.llm.generate(limited(fake.llm, 0), kHello).value().read_all().expect("read");
    return fake.llm.get_context_usage_size().value();
  }();
  fake.llm.clear_context().expect("clear");
  fake.llm.set_generation_recovery_sequence(" (cut)").expect("recovery");
  EXPECT_EQ(fake.llm.get_generation_recovery_sequence().value(), " (cut)");
  const size_t recovery = fake.llm.tokenize(" (cut)").value().size();
  LLMGeneratorCompletion reply = fake.llm.generate(limited(fake.llm, 4), kHello).expect("generate");
  reply.read_all().expect("read");
  EXPECT_EQ(reply.generation_status(), Status::MAX_TOKENS_REACHED);
  EXPECT_EQ(reply.generated_tokens(), 4U);
  EXPECT_EQ(fake.llm.get_context_usage_size().value(), prompt + 4 + recovery);
  // Not after a logical end, whose last token is carried into the next prompt.
  fake.llm.clear_context().expect("clear");
  LLMGeneratorCompletion whole = fake.llm.generate(kHello).expect("generate");
  whole.read_all().expect("read");
  EXPECT_EQ(fake.llm.get_context_usage_size().value(), prompt + whole.generated_tokens());
}

TEST(Completion, SamplesAreRepliesOfSeedsThatFollowEachOther) {
  constexpr size_t kSamples = 5;
  std::vector<std::string> wanted;
  size_t prompt = 0;
  for (size_t i = 0; i < kSamples; i++) {
    FakeLlm alone;
    LLMGeneratorParams params = limited(alone.llm, 12);
    params.set_seed(1 + i);
    LLMGeneratorCompletion reply = alone.llm.generate(params, kHello).expect("generate");
    wanted.push_back(reply.read_all().value());
    prompt = reply.prefilled_tokens();
  }
  EXPECT_NE(wanted[0], wanted[1]);
  std::vector<LLMGeneratorCompletion> replies;
  {
    FakeLlm fake;
    LLMGenerator generator = fake.llm.create_generator(limited(fake.llm, 12));
    generator.write(kHello).expect("write");
    EXPECT_EQ(generator.generate_samples(0).status(), ErrorCode::INVALID_ARGUMENT);
    generator.write(kHello).expect("write");
    replies = generator.generate_samples(kSamples).expect("samples");
    ASSERT_EQ(replies.size(), kSamples);
    EXPECT_EQ(replies[0].read_all().value(), wanted[0]);
    EXPECT_EQ(replies[0].prefilled_tokens(), prompt);
    // The first has ended, and the conversation goes on with it; the others leave no trace.
    const size_t used = fake.llm.get_context_usage_size().value();
    EXPECT_EQ(replies[4].read_all().value(), wanted[4]);
    EXPECT_EQ(fake.llm.get_context_usage_size().value(), used);
    EXPECT_LT(replies[4].prefilled_tokens(), 3U);
    EXPECT_TRUE(fake.llm.clear_context());
  }
  for (size_t i = 1; i < 4; i++) {  // they outlive the LLM
    EXPECT_EQ(replies[i].seed(), 1 + i);
    EXPECT_EQ(replies[i].read_all().value(), wanted[i]);
    EXPECT_EQ(replies[i].generation_status(), Status::MAX_TOKENS_REACHED);
  }
}

TEST(Completion, ResumingSaysWhatWouldHaveBeenSaid) {
  FakeLlm fake;
  const std::string whole = fake.llm.generate(limited(fake.llm, 24), kHello).value().read_all().value();
  fake.llm.clear_context().expect("clear");
  EXPECT_EQ(fake.llm.resume().status(), ErrorCode::INVALID_ARGUMENT);
  const std::string first = fake.llm.generate(limited(fake.llm, 10), kHello).value().read_all().value();
  EXPECT_EQ(first + fake.llm.resume(limited(fake.llm, 14)).value().read_all().value(), whole);
}

TEST(Completion, AbortTakesEffectWithinATokenAndTheNextReplyMayBegin) {
  FakeLlm fake;
  std::atomic<int> steps = 0;
  fake.on_step = [&] {
    steps++;
    std::this_thread::sleep_for(milliseconds(2));
  };
  LLMGeneratorCompletion reply = fake.llm.generate(limited(fake.llm, 1000), kHello).expect("generate");
  reply.read().expect("read");
  reply.abort();
  const int at_abort = steps;
  EXPECT_EQ(reply.generation_status(), Status::ABORTED);
  EXPECT_EQ(reply.read().value(), "");
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(steps, at_abort);
  reply.abort();  // does nothing
  EXPECT_TRUE(fake.llm.generate(limited(fake.llm, 1), kHello));
}

TEST(Completion, AbortWakesAReaderInAnotherThread) {
  FakeLlm fake;
  fake.on_step = [] { std::this_thread::sleep_for(milliseconds(5)); };
  LLMGeneratorCompletion reply = fake.llm.generate(limited(fake.llm, 2000), kHello).expect("generate");
  std::thread reader([&] { EXPECT_TRUE(reply.read_all()); });
  std::this_thread::sleep_for(milliseconds(30));
  reply.abort();
  reader.join();
  EXPECT_EQ(reply.generation_status(), Status::ABORTED);
}

TEST(Completion, DestroyingItAborts) {
  FakeLlm fake;
  { const LLMGeneratorCompletion reply = fake.llm.generate(limited(fake.llm, 1000), kHello).expect("generate"); }
  EXPECT_TRUE(fake.llm.clear_context());
}

TEST(Completion, OutlivesItsLlm) {
  LLMGeneratorCompletion reply = [] {
    FakeLlm fake("Once upon a time.");
    return fake.llm.generate(kHello).expect("generate");
  }();
  EXPECT_EQ(reply.read_all().value(), "Once upon a time.");
}

TEST(Completion, OneReplyAtATime) {
  FakeLlm fake;
  fake.on_step = [] { std::this_thread::sleep_for(milliseconds(1)); };
  LLMGeneratorCompletion reply = fake.llm.generate(limited(fake.llm, 1000), kHello).expect("generate");
  EXPECT_EQ(fake.llm.generate(kHello).status(), ErrorCode::BUSY);
  EXPECT_EQ(fake.llm.clear_context().status(), ErrorCode::BUSY);
  EXPECT_EQ(fake.llm.set_lora("").status(), ErrorCode::BUSY);
  EXPECT_EQ(fake.llm.save_context("nowhere").status(), ErrorCode::BUSY);
  EXPECT_EQ(fake.llm.fork().status(), ErrorCode::BUSY);
  reply.abort();
  EXPECT_TRUE(fake.llm.clear_context());
}

// Every chunk of the prompt begins the timeout anew: eight of them take longer than it.
TEST(Completion, ALongPromptDoesNotTimeOut) {
  FakeLlm fake("Yes.");
  fake.on_step = [] { std::this_thread::sleep_for(milliseconds(60)); };
  std::string text;
  for (int i = 0; i < 300; i++) text += "A long way. ";
  const auto start = std::chrono::steady_clock::now();
  LLMGeneratorCompletion reply = fake.llm.generate({R"({"role":"user","content":")" + text + "\"}"}).expect("generate");
  EXPECT_EQ(reply.read_all(milliseconds(400)).expect("read"), "Yes.");
  EXPECT_GT(std::chrono::steady_clock::now() - start, milliseconds(400));
}

TEST(Completion, ADeviceThatStandsStillTimesOut) {
  FakeLlm fake("Yes.");
  fake.on_step = [] { std::this_thread::sleep_for(milliseconds(300)); };
  LLMGeneratorCompletion reply = fake.llm.generate(kHello).expect("generate");
  EXPECT_EQ(reply.read(milliseconds(20)).status(), ErrorCode::TIMEOUT);
  EXPECT_EQ(reply.generation_status(), Status::GENERATING);
  EXPECT_EQ(reply.read_all().value(), "Yes.");  // and nothing is lost
}

TEST(Completion, AFullContextFollowsThePolicy) {
  for (const WhenFull policy : {WhenFull::ERROR, WhenFull::STOP, WhenFull::SHIFT}) {
    FakeLlm fake("", 128);
    fake.llm.set_stop_tokens({"no such thing"}).expect("stop");  // it never ends its turn
    LLMGeneratorParams params = limited(fake.llm, 300);
    params.set_when_full(policy);
    LLMGeneratorCompletion reply = fake.llm.generate(params, kHello).expect("generate");
    const Expected<std::string> text = reply.read_all();
    if (policy == WhenFull::ERROR) {
      EXPECT_EQ(text.status(), ErrorCode::OUT_OF_MEMORY);
      EXPECT_THAT(text.error().message, HasSubstr("context is full"));
      EXPECT_EQ(reply.generation_status(), Status::FAILED);
    } else if (policy == WhenFull::STOP) {
      EXPECT_TRUE(text);
      EXPECT_EQ(reply.generation_status(), Status::CONTEXT_FULL);
      EXPECT_EQ(reply.shifts(), 0U);
    } else {
      EXPECT_TRUE(text);
      EXPECT_EQ(reply.generation_status(), Status::MAX_TOKENS_REACHED);
      EXPECT_EQ(reply.generated_tokens(), 300U);
      EXPECT_GT(reply.shifts(), 1U);
    }
    EXPECT_TRUE(fake.llm.clear_context());
  }
}

}  // namespace
}  // namespace hotaru::genai
