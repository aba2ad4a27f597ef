// The whole way from a request's body to an answer's, on a fake device.
#include "server/openai/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "server/anthropic/routes.h"
#include "server/http/recorded_exchange.h"
#include "server/openai/event_stream_reader.h"
#include "server/reply/fake_model_pool.h"

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::string_view kChat = R"("model": "demo", "messages": [{"role": "user", "content": "Hello"}])";

std::shared_ptr<RecordedExchange> send(FakeModelPool& pool, const std::string& path, const std::string& body) {
  Router router;
  add_openai_routes(router, pool);
  add_anthropic_routes(router, pool);
  const auto exchange = RecordedExchange::make("POST", path, body);
  const Router::Match match = router.find("POST", path);
  EXPECT_NE(match.route, nullptr) << path;
  if (match.route != nullptr) match.route->handler(exchange);
  return exchange;
}
Json ask(FakeModelPool& pool, const std::string& path, std::string_view fields, int status = 200) {
  const auto exchange = send(pool, path, fmt::format("{{{}}}", fields));
  EXPECT_EQ(exchange->response().status, status) << exchange->response().body;
  return Json::parse(exchange->body());
}

class Routes : public ::testing::Test {
 protected:
  ~Routes() override {
    // Whoever answered has given the model back.
    EXPECT_TRUE(pool_.is_unused_soon());
  }
  FakeModelPool pool_{FakeModel{.script = "Once upon a time."}};
};

TEST_F(Routes, ChatCompletion) {
  const Json body = ask(pool_, "/v1/chat/completions", fmt::format(R"({}, "temperature": 0)", kChat));
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Once upon a time.");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["model"], "demo");
  EXPECT_GT(body["usage"]["prompt_tokens"], 0);
}

TEST_F(Routes, ChatCompletionStreamed) {
  const auto exchange =
      send(pool_, "/v1/chat/completions", fmt::format(R"({{{}, "temperature": 0, "stream": true}})", kChat));
  EXPECT_EQ(exchange->response().content_type, "text/event-stream");
  std::string text;
  const auto events = read_events(exchange->body());
  for (const ReadEvent& event : events) {
    if (event.data.is_object()) text += event.data["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(text, "Once upon a time.");
  EXPECT_EQ(events.back().data, "[DONE]");
}

TEST_F(Routes, WhatIsWrongHasAStatus) {
  const std::string chat = "/v1/chat/completions";
  Json error = ask(pool_, chat, R"("model": "ghost", "messages": [{"role": "user", "content": "x"}])", 404)["error"];
  EXPECT_EQ(error["code"], "model_not_found");
  EXPECT_EQ(error["param"], "model");
  error = ask(pool_, chat, fmt::format(R"({}, "top_p": 2, "stream": true)", kChat), 400)["error"];
  EXPECT_EQ(error["param"], "top_p");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(Json::parse(send(pool_, chat, "{")->body())["error"]["type"], "invalid_request_error");
  error = ask(pool_, "/v1/completions", R"("model": "ghost", "prompt": ["a", "b"])", 404)["error"];
  EXPECT_EQ(error["code"], "model_not_found");
  error =
      ask(pool_, "/v1/completions", R"("model": "ghost", "prompt": "a", "echo": true, "logprobs": 1)", 404)["error"];
  EXPECT_EQ(error["code"], "model_not_found");
  ask(pool_, "/v1/completions", R"("model": "demo", "prompt": [999999], "echo": true, "logprobs": 1)", 400);
  EXPECT_EQ(
      ask(pool_, "/v1/embeddings", R"("model": "demo", "input": "a", "dimensions": 999999)", 400)["error"]["param"],
      "dimensions");
  error = ask(pool_, "/v1/messages",
              R"("model": "ghost", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}])", 404);
  EXPECT_EQ(error["error"]["type"], "not_found_error");
}

TEST_F(Routes, CompletionOfSeveralPrompts) {
  const std::string sampling = R"("model": "demo", "temperature": 0, "max_tokens": 4)";
  const std::string one = ask(pool_, "/v1/completions", sampling + R"(, "prompt": "a")")["choices"][0]["text"];
  const std::string other = ask(pool_, "/v1/completions", sampling + R"(, "prompt": "b")")["choices"][0]["text"];
  const Json both = ask(pool_, "/v1/completions", sampling + R"(, "prompt": ["a", "b"], "echo": true)");
  ASSERT_THAT(both["choices"], SizeIs(2));
  EXPECT_EQ(both["choices"][0]["text"], "a" + one);
  EXPECT_EQ(both["choices"][1]["text"], "b" + other);
  EXPECT_EQ(both["choices"][1]["index"], 1);
  const auto streamed =
      send(pool_, "/v1/completions", fmt::format(R"({{{}, "prompt": ["a", "b"], "stream": true}})", sampling));
  const auto events = read_events(streamed->body());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[1].data["choices"][0]["text"], other);
}

TEST_F(Routes, ScoresOfPrompts) {
  FakeModelPool pool;  // without a script: the end of a turn is not to be expected
  const std::string scored =
      R"("model": "demo", "temperature": 0, "logprobs": 1, "echo": true, "prompt": [[5, 6, 7], [8, 9]])";
  const Json alone = ask(pool, "/v1/completions", scored + R"(, "max_tokens": 0)");
  ASSERT_THAT(alone["choices"], SizeIs(2));
  const Json& logprobs = alone["choices"][0]["logprobs"];
  ASSERT_THAT(logprobs["token_logprobs"], SizeIs(3));
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_LT(logprobs["token_logprobs"][1], 0);
  EXPECT_EQ(alone["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(alone["usage"]["prompt_tokens"], 5);
  EXPECT_EQ(alone["usage"]["completion_tokens"], 0);

  // With a generated token, as lm-evaluation-harness asks: it stands behind the same scores.
  const Json more = ask(pool, "/v1/completions", scored + R"(, "max_tokens": 1)");
  for (size_t i = 0; i < 2; i++) {
    const Json& longer = more["choices"][i]["logprobs"];
    const Json& shorter = alone["choices"][i]["logprobs"];
    const size_t count = shorter["tokens"].size();
    ASSERT_THAT(longer["tokens"], SizeIs(count + 1));
    ASSERT_THAT(longer["top_logprobs"], SizeIs(count + 1));
    for (size_t token = 0; token < count; token++) {
      EXPECT_EQ(longer["token_logprobs"][token], shorter["token_logprobs"][token]);
    }
    EXPECT_LT(longer["token_logprobs"][count], 0);
  }
}

TEST_F(Routes, AClientThatLeavesStopsAllPrompts) {
  FakeModelPool pool{FakeModel{.on_step = [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }}};
  const auto exchange = send(pool, "/v1/completions",
                             R"({"model": "demo", "prompt": ["a", "b", "c"], "max_tokens": 2000, "echo": true,
                                 "logprobs": 0, "logit_bias": {"4095": -100}})");
  EXPECT_FALSE(exchange->has_answer());
  exchange->leave();
  EXPECT_TRUE(pool.is_unused_soon());
}

TEST_F(Routes, Embeddings) {
  const Json body = ask(pool_, "/v1/embeddings", R"("model": "demo", "input": ["a dog", "a dog", "rain"])");
  ASSERT_THAT(body["data"], SizeIs(3));
  EXPECT_EQ(body["data"][0]["embedding"], body["data"][1]["embedding"]);
  EXPECT_NE(body["data"][0]["embedding"], body["data"][2]["embedding"]);
  EXPECT_EQ(body["data"][2]["index"], 2);
}

TEST_F(Routes, Response) {
  const Json body = ask(pool_, "/v1/responses", R"("model": "demo", "input": "Hello", "temperature": 0)");
  EXPECT_EQ(body["status"], "completed");
  EXPECT_EQ(body["output"][0]["content"][0]["text"], "Once upon a time.");
}

TEST_F(Routes, Messages) {
  const std::string fields =
      R"("model": "demo", "max_tokens": 20, "temperature": 0, "messages": [{"role": "user", "content": "Hello"}])";
  const Json body = ask(pool_, "/v1/messages", fields);
  EXPECT_EQ(body["content"][0]["text"], "Once upon a time.");
  EXPECT_EQ(body["stop_reason"], "end_turn");
  const int64_t counted = ask(pool_, "/v1/messages/count_tokens", fields)["input_tokens"];
  EXPECT_EQ(counted,
            body["usage"]["input_tokens"].get<int64_t>() + body["usage"]["cache_read_input_tokens"].get<int64_t>());
}

}  // namespace
}  // namespace hotaru::server
