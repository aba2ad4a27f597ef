#include "server/openai/chat_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include "server/openai/played_reply.h"

namespace hotaru::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

ChatAnswer answer_of(bool streams) {
  ChatAnswer answer;
  answer.id = "chatcmpl-1";
  answer.created = 1700000000;
  answer.model = "demo";
  answer.streams = streams;
  return answer;
}

Json body_of(const HttpResponse& response) { return Json::parse(response.body); }

// The events of a stream: each "data: {...}" as JSON, [DONE] as a string.
std::vector<Json> events_of(const std::string& stream) {
  std::vector<Json> events;
  size_t begin = 0;
  for (size_t end = stream.find("\n\n"); end != std::string::npos; end = stream.find("\n\n", begin)) {
    const std::string event = stream.substr(begin, end - begin);
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    events.push_back(event == "data: [DONE]" ? Json("[DONE]") : Json::parse(event.substr(6)));
    begin = end + 2;
  }
  EXPECT_EQ(begin, stream.size());
  return events;
}
Json first_choice(const Json& event) { return event["choices"][0]; }

TEST(ChatWriter, AnswersInOnePiece) {
  ChatWriter writer(answer_of(false));
  PlayedReply played(writer);
  EXPECT_EQ(played.says("Hel").says("lo").ends().response().body,
            R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"demo",)"
            R"("system_fingerprint":"fp_hotaru","choices":[{"index":0,"message":{"role":"assistant","content":"Hello",)"
            R"("refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,)"
            R"("completion_tokens":2,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},)"
            R"("completion_tokens_details":{"reasoning_tokens":0}}})");
}

TEST(ChatWriter, Streams) {
  ChatAnswer answer = answer_of(true);
  answer.includes_usage = true;
  ChatWriter writer(answer);
  PlayedReply played(writer);
  const std::string head =
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"demo",)"
      R"("system_fingerprint":"fp_hotaru","choices":)";
  EXPECT_EQ(played.says("Hel").says("").says("lo").ends(ReplyStatus::kMaxTokens).stream(),
            head + R"([{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,)" +
                R"("finish_reason":null}],"usage":null})" + "\n\n" + head +
                R"([{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}],"usage":null})" +
                "\n\n" + head +
                R"([{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}],"usage":null})" +
                "\n\n" + head + R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null})" +
                "\n\n" + head + R"([],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,)" +
                R"("prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":0}}})" +
                "\n\ndata: [DONE]\n\n");
}

TEST(ChatWriter, NoUsageUnlessAsked) {
  ChatWriter writer(answer_of(true));
  PlayedReply played(writer);
  const std::vector<Json> events = events_of(played.says("a").ends().stream());
  ASSERT_EQ(events.size(), 4U);
  for (const Json& event : events) EXPECT_FALSE(event.contains("usage"));
}

TEST(ChatWriter, AReplyOfNothingStillBegins) {
  ChatWriter writer(answer_of(true));
  PlayedReply played(writer);
  const std::vector<Json> events = events_of(played.ends().stream());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(first_choice(events[0])["delta"]["role"], "assistant");
  EXPECT_EQ(first_choice(events[1])["finish_reason"], "stop");
}

TEST(ChatWriter, CallsAreGivenWhole) {
  ChatWriter writer(answer_of(false));
  PlayedReply played(writer);
  const Json choice = first_choice(body_of(played.calls("f", R"({"x":1})").calls("g", "{}").ends().response()));
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  const Json& message = choice["message"];
  EXPECT_TRUE(message["content"].is_null());
  ASSERT_EQ(message["tool_calls"].size(), 2U);
  EXPECT_THAT(message["tool_calls"][0]["id"].get<std::string>(), MatchesRegex("call_[A-Za-z0-9]+"));
  EXPECT_NE(message["tool_calls"][0]["id"], message["tool_calls"][1]["id"]);
  EXPECT_EQ(message["tool_calls"][0]["type"], "function");
  EXPECT_EQ(message["tool_calls"][0]["function"], Json({{"name", "f"}, {"arguments", R"({"x":1})"}}));

  ChatWriter streamer(answer_of(true));
  PlayedReply streamed(streamer);
  const std::vector<Json> events = events_of(streamed.calls("f", R"({"x":1})").calls("g", "{}").ends().stream());
  ASSERT_EQ(events.size(), 5U);
  const Json second = first_choice(events[2])["delta"]["tool_calls"][0];
  EXPECT_EQ(second["index"], 1);
  EXPECT_EQ(second["function"]["name"], "g");
  EXPECT_EQ(first_choice(events[3])["finish_reason"], "tool_calls");
}

TEST(ChatWriter, ReasoningIsApart) {
  ChatWriter writer(answer_of(false));
  PlayedReply played(writer);
  const Json body = body_of(played.thinks("Hm").thinks("...").says("Yes").ends().response());
  EXPECT_EQ(first_choice(body)["message"]["reasoning"], "Hm...");
  EXPECT_EQ(first_choice(body)["message"]["content"], "Yes");
  EXPECT_EQ(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);

  ChatWriter streamer(answer_of(true));
  PlayedReply streamed(streamer);
  const std::vector<Json> events = events_of(streamed.thinks("Hm").says("Yes").ends().stream());
  EXPECT_EQ(first_choice(events[1])["delta"], Json({{"reasoning", "Hm"}}));
}

TEST(ChatWriter, SamplesAreChoices) {
  ChatAnswer answer = answer_of(false);
  answer.samples = 2;
  ChatWriter writer(answer);
  PlayedReply played(writer);
  const Json body =
      body_of(played.says("a").says("b", 1).says("c", 1).ends().ends(ReplyStatus::kMaxTokens, 1).response());
  ASSERT_EQ(body["choices"].size(), 2U);
  EXPECT_EQ(body["choices"][1]["index"], 1);
  EXPECT_EQ(body["choices"][1]["message"]["content"], "bc");
  EXPECT_EQ(body["choices"][1]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["completion_tokens"], 3);

  answer.streams = true;
  ChatWriter streamer(answer);
  PlayedReply streamed(streamer);
  const std::vector<Json> events = events_of(streamed.says("a").says("b", 1).ends().ends({}, 1).stream());
  const auto roles = std::ranges::count_if(
      events, [](const Json& event) { return event.is_object() && event["choices"][0]["delta"].contains("role"); });
  EXPECT_EQ(roles, 2);
}

ReplyWriter::Delta scored(int32_t id, std::string content, float logprob, std::vector<TokenLogprob> top) {
  ReplyWriter::Delta delta;
  delta.piece.id = id;
  delta.piece.logprob = logprob;
  delta.piece.top = std::move(top);
  delta.output.content = std::move(content);
  return delta;
}

TEST(ChatWriter, LogprobsHaveTheBytes) {
  ChatAnswer answer = answer_of(false);
  answer.has_logprobs = true;
  ChatWriter writer(answer);
  PlayedReply played(writer);
  const int32_t the = token_of(" the");
  const Json logprobs = first_choice(body_of(
      played.plays(scored(the, " the", -0.5F, {{the, -0.5F}, {token_of("a"), -std::numeric_limits<float>::infinity()}}))
          .plays(scored(kEndOfTurn, "", -0.25F, {}))
          .ends()
          .response()))["logprobs"];
  EXPECT_EQ(logprobs.dump(), R"({"content":[{"token":" the","logprob":-0.5,"bytes":[32,116,104,101],"top_logprobs":[)"
                             R"({"token":" the","logprob":-0.5,"bytes":[32,116,104,101]},)"
                             R"({"token":"a","logprob":-9999.0,"bytes":[97]}]}],"refusal":null})");
  answer.streams = true;
  ChatWriter streamer(answer);
  PlayedReply streamed(streamer);
  // A token whose text still waits has its chunk all the same.
  const std::vector<Json> events = events_of(streamed.plays(scored(the, "", -0.5F, {})).ends().stream());
  EXPECT_EQ(first_choice(events[1])["delta"], Json({{"content", ""}}));
  EXPECT_EQ(first_choice(events[1])["logprobs"]["content"][0]["token"], " the");
}

TEST(ChatWriter, ErrorsAreNeverASuccess) {
  ChatWriter writer(answer_of(false));
  PlayedReply played(writer);
  const HttpResponse response = played.says("a").fails({ErrorKind::kIo, "the device is gone"}).response();
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body,
            R"({"error":{"message":"the device is gone","type":"server_error","param":null,"code":null}})");

  ChatWriter streamer(answer_of(true));
  PlayedReply streamed(streamer);
  const std::string stream = streamed.says("a").fails({ErrorKind::kIo, "the device is gone"}).stream();
  EXPECT_THAT(stream, HasSubstr("data: {\"error\":{\"message\":\"the device is gone\""));
  EXPECT_EQ(stream.find("[DONE]"), std::string::npos);
}

}  // namespace
}  // namespace hotaru::server
