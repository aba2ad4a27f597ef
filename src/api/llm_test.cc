#include "hotaru/genai/llm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "api/fake_llm.h"
#include "hotaru/hotaru.h"

namespace hotaru::genai {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kDemoHef = std::string(HOTARU_SOURCE_DIR) + "/tests/data/hef/demo-v1.hef";

struct TemporaryPath {
  TemporaryPath()
      : path((std::filesystem::temp_directory_path() / fmt::format("hotaru_llm_{}", ::getpid())).string()) {}
  ~TemporaryPath() { std::filesystem::remove(path); }
  TemporaryPath(const TemporaryPath&) = delete;
  TemporaryPath& operator=(const TemporaryPath&) = delete;
  const std::string path;
};

LLMGeneratorParams limited(const LLM& llm, uint32_t count) {
  LLMGeneratorParams params = llm.create_generator_params();
  params.set_max_generated_tokens(count).expect("count");
  params.set_seed(1);
  return params;
}

std::string reply_of(LLM& llm, const std::vector<std::string>& messages = kHello) {
  return llm.generate(limited(llm, 12), messages).expect("generate").read_all().expect("read");
}

std::string refusal(const std::vector<std::string>& messages) {
  static FakeLlm fake;
  const Expected<LLMGeneratorCompletion> reply = fake.llm.generate(messages);
  EXPECT_EQ(reply.status(), ErrorCode::INVALID_ARGUMENT);
  return reply ? "" : reply.error().message;
}

TEST(Messages, ErrorsNameTheMessageAndTheField) {
  EXPECT_THAT(refusal({kHello[0], R"({"role":7,"content":"x"})"}),
              AllOf(HasSubstr("message 2 'role'"), HasSubstr("7")));
  EXPECT_THAT(refusal({R"({"content":"x"})"}), HasSubstr("message 1 'role': is missing"));
  EXPECT_THAT(refusal({R"({"role":"user"})"}), HasSubstr("message 1 'content': is missing"));
  EXPECT_THAT(refusal({R"({"role":"user","content":3})"}), HasSubstr("message 1 'content': got number"));
  EXPECT_THAT(refusal({R"({"role":"","content":"x"})"}), HasSubstr("'role'"));
  EXPECT_THAT(refusal({R"(["user"])"}), HasSubstr("message 1: got array, want a JSON object"));
  EXPECT_THAT(refusal({"Hello"}), HasSubstr("message 1"));
  EXPECT_THAT(refusal({"{\"role\":\"user\",\"content\":\"\xFF\"}"}), HasSubstr("message 1"));
  EXPECT_THAT(refusal({}), HasSubstr("no tokens"));
}

TEST(Params, RefuseWhatIsOutOfRangeAndKeepTheOldValue) {
  FakeLlm fake;
  LLMGeneratorParams params = fake.llm.create_generator_params();
  params.set_temperature(0.5F).expect("temperature");
  const Expected<void> refused = params.set_temperature(-1.0F);
  EXPECT_EQ(refused.status(), ErrorCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error().message, HasSubstr("temperature: got -1"));
  EXPECT_EQ(params.temperature(), 0.5F);
  EXPECT_FALSE(params.set_top_p(1.5F));
  EXPECT_FALSE(params.set_top_p(std::nanf("")));
  EXPECT_FALSE(params.set_min_p(-0.1F));
  EXPECT_FALSE(params.set_top_k(1U << 31));
  EXPECT_FALSE(params.set_repetition_penalty(0.0F));
  EXPECT_FALSE(params.set_frequency_penalty(std::numeric_limits<float>::infinity()));
  EXPECT_FALSE(params.set_presence_penalty(std::nanf("")));
  EXPECT_FALSE(params.set_logit_bias(4096, 1.0F));
  EXPECT_FALSE(params.set_logit_bias(1, std::numeric_limits<float>::infinity()));
  EXPECT_TRUE(params.set_logit_bias(1, -std::numeric_limits<float>::infinity()));
  EXPECT_FALSE(params.set_top_logprobs(21));
  EXPECT_FALSE(params.set_max_generated_tokens(1U << 31));
}

TEST(Params, DefaultsAreAsDocumented) {
  FakeLlm fake;
  LLMGeneratorParams params = fake.llm.create_generator_params();
  EXPECT_TRUE(params.do_sample());
  EXPECT_EQ(params.temperature(), 1.0F);
  EXPECT_EQ(params.top_p(), 1.0F);
  EXPECT_EQ(params.top_k(), 0U);
  EXPECT_EQ(params.min_p(), 0.0F);
  EXPECT_EQ(params.repetition_penalty(), 1.1F);
  EXPECT_EQ(params.frequency_penalty(), 0.0F);
  EXPECT_EQ(params.presence_penalty(), 0.0F);
  EXPECT_FALSE(params.max_generated_tokens());
  EXPECT_FALSE(params.seed());
  EXPECT_EQ(params.when_full(), WhenFull::STOP);
  EXPECT_FALSE(params.top_logprobs());
  LLMGeneratorParams greedy = params;
  greedy.set_do_sample(false);
  greedy.set_temperature(2.0F).expect("temperature");
  EXPECT_EQ(greedy.temperature(), 0.0F);
  EXPECT_EQ(greedy.repetition_penalty(), 1.0F);
  EXPECT_TRUE(params.do_sample());  // a copy is independent
}

TEST(Params, ChangeTheReply) {
  FakeLlm fake;
  LLMGeneratorParams params = limited(fake.llm, 12);
  const std::string first = fake.llm.generate(params, kHello).value().read_all().value();
  fake.llm.clear_context().expect("clear");
  LLMGeneratorCompletion again = fake.llm.generate(params, kHello).value();
  EXPECT_EQ(again.seed(), 1U);
  EXPECT_EQ(again.read_all().value(), first);
  fake.llm.clear_context().expect("clear");
  params.set_seed(2);
  EXPECT_NE(fake.llm.generate(params, kHello).value().read_all().value(), first);
}

TEST(Llm, RemembersTheConversation) {
  FakeLlm fake;
  const std::string first = reply_of(fake.llm);
  EXPECT_NE(reply_of(fake.llm), first);
  fake.llm.clear_context().expect("clear");
  EXPECT_EQ(fake.llm.get_context_usage_size().value(), 0U);
  EXPECT_EQ(reply_of(fake.llm), first);
}

TEST(Llm, AGeneratorCollectsWhatIsWritten) {
  FakeLlm fake;
  const std::string at_once = reply_of(fake.llm, {R"({"role":"system","content":"Be brief."})", kHello[0]});
  fake.llm.clear_context().expect("clear");
  LLMGenerator generator = fake.llm.create_generator(limited(fake.llm, 12));
  generator.write(std::vector<std::string>{R"({"role":"system","content":"Be brief."})"}).expect("write");
  EXPECT_FALSE(generator.write(std::vector<std::string>{"nonsense"}));
  generator.write(kHello).expect("write");
  EXPECT_EQ(generator.generate().value().read_all().value(), at_once);
  // Raw text: without the template.
  fake.llm.clear_context().expect("clear");
  generator.write("Once").expect("write");
  generator.write(" upon").expect("write");
  generator.generate().value().read_all().expect("read");
  EXPECT_LT(fake.llm.get_context_usage_size().value(), 12U + 8U);
}

TEST(Llm, TokenizesAndShowsItsTemplate) {
  FakeLlm fake;
  EXPECT_EQ(fake.llm.tokenize("Once upon").value(), *fake.model->model().tokenizer()->encode("Once upon"));
  const std::vector<int> special = fake.llm.tokenize(fake.llm.get_stop_tokens().value().front()).value();
  EXPECT_EQ(special, std::vector<int>{kEndOfTurn});
  EXPECT_EQ(fake.llm.tokenize("\xFF").status(), ErrorCode::INVALID_ARGUMENT);
  EXPECT_THAT(fake.llm.prompt_template().value(), HasSubstr("messages"));
  EXPECT_EQ(fake.llm.name(), "demo");
  EXPECT_EQ(fake.llm.max_context_capacity(), 2048U);
  EXPECT_EQ(fake.llm.get_generation_recovery_sequence().value(), fake.llm.get_stop_tokens().value().front());
}

TEST(Llm, ForksGoTheirOwnWays) {
  FakeLlm fake;
  FakeLlm alone;
  reply_of(fake.llm);
  reply_of(alone.llm);
  LLM fork = fake.llm.fork().expect("fork");
  const std::string other = R"({"role":"user","content":"Less."})";
  reply_of(fake.llm);
  EXPECT_EQ(reply_of(fork, {other}), reply_of(alone.llm, {other}));
}

TEST(Llm, AnUnknownAdapterIsRefused) {
  FakeLlm fake;
  const Expected<void> refused = fake.llm.set_lora("nobody");
  EXPECT_EQ(refused.status(), ErrorCode::NOT_FOUND);
  EXPECT_THAT(refused.error().message, HasSubstr("no adapter 'nobody'"));
  EXPECT_EQ(fake.llm.lora(), "");
  EXPECT_TRUE(fake.llm.adapters().empty());
}

// The demo HEF on a real device.

std::shared_ptr<VDevice> small_device(const std::string& isa = "", uint64_t memory_bytes = 0) {
  return VDevice::create_shared({.threads = 1, .isa = isa, .memory_bytes = memory_bytes}).expect("device");
}

TEST(DemoHef, TheExampleOfTheContract) {
  auto device = small_device();
  auto llm = LLM::create(device, {kDemoHef, ""}).expect("cannot load");
  auto reply = llm.generate({R"({"role":"user","content":"Hello"})"}).expect("cannot generate");
  std::string text;
  while (reply.generation_status() == Status::GENERATING) text += reply.read().expect("read");
  EXPECT_FALSE(text.empty());
}

TEST(DemoHef, IsLoadedOnceAndItsMemoryComesBack) {
  auto device = small_device();
  {
    LLM first = LLM::create(device, LLMParams(kDemoHef)).expect("load");
    const uint64_t used = device->used_memory_bytes();
    EXPECT_GT(used, 1U << 20);
    LLM second = LLM::create(device, LLMParams(kDemoHef)).expect("load");
    EXPECT_EQ(device->used_memory_bytes(), used);
    EXPECT_EQ(reply_of(first), reply_of(second));
  }
  EXPECT_EQ(device->used_memory_bytes(), 0U);
}

TEST(DemoHef, ASecondModelMustFitWhatTheFirstLeaves) {
  const TemporaryPath copy;
  std::filesystem::copy_file(kDemoHef, copy.path);  // another file is another model
  const uint64_t needed = [] {
    auto device = small_device();
    const LLM llm = LLM::create(device, LLMParams(kDemoHef)).expect("load");
    return device->used_memory_bytes();
  }();
  auto device = small_device("", needed + needed / 2);
  {
    const LLM first = LLM::create(device, LLMParams(kDemoHef)).expect("load");
    const Expected<LLM> second = LLM::create(device, LLMParams(copy.path));
    EXPECT_EQ(second.status(), ErrorCode::OUT_OF_MEMORY);
    EXPECT_THAT(second.error().message, AllOf(HasSubstr(fmt::format("needs {} bytes", needed)),
                                              HasSubstr(fmt::format("available are {} bytes", needed / 2))));
  }
  EXPECT_TRUE(LLM::create(device, LLMParams(copy.path)));
}

TEST(DemoHef, ASavedReplyGoesOnElsewhereWithTheSameTokens) {
  const TemporaryPath file;
  LLM whole = LLM::create(small_device(), LLMParams(kDemoHef)).expect("load");
  const std::string wanted = whole.generate(limited(whole, 24), kHello).value().read_all().value();
  LLM llm = LLM::create(small_device(), LLMParams(kDemoHef)).expect("load");
  const std::string first = llm.generate(limited(llm, 9), kHello).value().read_all().value();
  llm.save_context(file.path).expect("save");
  LLM other = LLM::create(small_device("ref"), LLMParams(kDemoHef)).expect("load");
  other.load_context(file.path).expect("load");
  EXPECT_EQ(first + other.resume(limited(other, 15)).value().read_all().value(), wanted);
  // And a damaged file leaves the conversation as it was.
  const size_t usage = other.get_context_usage_size().value();
  std::filesystem::resize_file(file.path, std::filesystem::file_size(file.path) / 2);
  EXPECT_FALSE(other.load_context(file.path));
  EXPECT_FALSE(other.load_context(kDemoHef));
  EXPECT_EQ(other.get_context_usage_size().value(), usage);
}

TEST(Device, SaysWhatItCannotBe) {
  EXPECT_EQ(VDevice::create_shared({.threads = -1, .isa = "", .memory_bytes = 0}).status(),
            ErrorCode::INVALID_ARGUMENT);
  const Expected<std::shared_ptr<VDevice>> refused =
      VDevice::create_shared({.threads = 1, .isa = "abacus", .memory_bytes = 0});
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("'abacus'"), HasSubstr("ref")));
  EXPECT_EQ(LLM::create(nullptr, LLMParams(kDemoHef)).status(), ErrorCode::INVALID_ARGUMENT);
  auto device = small_device("ref");
  EXPECT_EQ(device->isa(), "ref");
  EXPECT_EQ(device->threads(), 1);
  EXPECT_EQ(LLM::create(device, LLMParams("/nothing.hef")).status(), ErrorCode::NOT_FOUND);
  EXPECT_EQ(LLM::create(device, {kDemoHef, "nobody"}).status(), ErrorCode::NOT_FOUND);
  EXPECT_FALSE(LLM::create(device, LLMParams(std::string(HOTARU_SOURCE_DIR) + "/README.md")));
  EXPECT_EQ(device->used_memory_bytes(), 0U);
}

TEST(ExpectedValue, ThrowsOnlyWhereItSaysSo) {
  const Expected<int> none = Failure{ErrorCode::BUSY, "the queue is full"};
  EXPECT_EQ(none.status(), ErrorCode::BUSY);
  EXPECT_FALSE(none);
  try {
    Expected<int>(none).expect("cannot go on");
    ADD_FAILURE() << "no exception";
  } catch (const BadExpected& error) {
    EXPECT_STREQ(error.what(), "cannot go on: the queue is full");
    EXPECT_EQ(error.code(), ErrorCode::BUSY);
  }
  EXPECT_THROW(static_cast<void>(none.value()), BadExpected);
  EXPECT_EQ(Expected<int>(7).expect("seven"), 7);
  EXPECT_EQ(Expected<void>().status(), ErrorCode::SUCCESS);
}

}  // namespace
}  // namespace hotaru::genai
