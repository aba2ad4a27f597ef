#include "server/openai/completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

CompletionRequest parse(std::string_view more) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", {}}})", more));
  Fields fields(json, "");
  CompletionRequest request = parse_completion_request(fields);
  EXPECT_TRUE(fields.ok()) << fields.error().message;
  return request;
}
std::string refused_field(std::string_view more) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", {}}})", more));
  Fields fields(json, "");
  parse_completion_request(fields);
  return fields.ok() ? "(accepted)" : fields.bad_field();
}
std::string refused_with(std::string_view more) { return refused_field(fmt::format(R"("prompt": "x", {})", more)); }

TEST(CompletionRequest, PromptsOfEveryForm) {
  EXPECT_EQ(std::get<TextPrompt>(parse(R"("prompt": "Once")").prompts.at(0)).text, "Once");
  EXPECT_EQ(std::get<TextPrompt>(parse(R"("prompt": ["a", "b"])").prompts.at(1)).text, "b");
  const CompletionRequest ids = parse(R"("prompt": [3, 1, 2])");
  ASSERT_EQ(ids.prompts.size(), 1U);
  EXPECT_THAT(std::get<IdsPrompt>(ids.prompts[0]).ids, ElementsAre(3, 1, 2));
  const CompletionRequest lists = parse(R"("prompt": [[3, 1], [2]])");
  ASSERT_EQ(lists.prompts.size(), 2U);
  EXPECT_THAT(std::get<IdsPrompt>(lists.prompts[1]).ids, ElementsAre(2));
}

TEST(CompletionRequest, WrongPromptsAreNamed) {
  EXPECT_EQ(refused_field(R"("n": 1)"), "prompt");
  EXPECT_EQ(refused_field(R"("prompt": 3)"), "prompt");
  EXPECT_EQ(refused_field(R"("prompt": [])"), "prompt");
  EXPECT_EQ(refused_field(R"("prompt": {})"), "prompt");
  EXPECT_EQ(refused_field(R"("prompt": [1, "a"])"), "prompt[1]");
  EXPECT_EQ(refused_field(R"("prompt": ["a", 1])"), "prompt[1]");
  EXPECT_EQ(refused_field(R"("prompt": [[1], [-1]])"), "prompt[1][0]");
  EXPECT_EQ(refused_field(R"("prompt": [[1], []])"), "prompt[1]");
}

// As lm-evaluation-harness sends it.
TEST(CompletionRequest, ScoresOfAPrompt) {
  const CompletionRequest request =
      parse(R"("prompt": [[5, 6]], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true)");
  EXPECT_TRUE(request.echoes);
  EXPECT_EQ(request.logprobs, 1);
  EXPECT_EQ(request.task.top_logprobs, 1);
  EXPECT_EQ(request.task.max_tokens, 1);
}

TEST(CompletionRequest, Defaults) {
  const CompletionRequest request = parse(R"("prompt": "x", "suffix": null, "logprobs": null, "echo": null)");
  EXPECT_EQ(request.task.max_tokens, 16);
  EXPECT_EQ(request.task.top_logprobs, -1);
  EXPECT_EQ(request.choices, 1);
  EXPECT_FALSE(request.echoes || request.streams);
}

TEST(CompletionRequest, BestOf) {
  const CompletionRequest request = parse(R"("prompt": "x", "n": 2, "best_of": 4)");
  EXPECT_EQ(request.choices, 2);
  EXPECT_EQ(request.task.samples, 4);
  EXPECT_EQ(request.task.top_logprobs, 0);  // to compare them
  EXPECT_EQ(refused_with(R"("n": 2, "best_of": 1)"), "best_of");
  EXPECT_EQ(refused_with(R"("best_of": 2, "stream": true)"), "best_of");
}

TEST(CompletionRequest, WhatIsWrongIsNamed) {
  EXPECT_EQ(refused_with(R"("suffix": "the end")"), "suffix");
  EXPECT_EQ(refused_with(R"("logprobs": 21)"), "logprobs");
  for (const std::string_view field : {"suffix", "echo", "logprobs", "best_of", "n", "max_tokens", "stream", "stop"}) {
    EXPECT_THAT(refused_with(fmt::format(R"("{}": [[1]])", field)), StartsWith(field));
  }
}

}  // namespace
}  // namespace hotaru::server
