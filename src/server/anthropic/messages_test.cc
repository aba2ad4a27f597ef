#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/anthropic/messages_request.h"
#include "server/anthropic/messages_writer.h"
#include "server/openai/event_stream_reader.h"
#include "server/openai/played_reply.h"

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

constexpr std::string_view kHello = R"("messages": [{"role": "user", "content": "Hello"}])";

MessagesRequest parse(std::string_view more) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", "max_tokens": 8, {}}})", more));
  Fields fields(json, "");
  MessagesRequest request = parse_messages_request(fields);
  EXPECT_TRUE(fields.ok()) << fields.error().message;
  return request;
}
MessagesRequest parse_with(std::string_view more) { return parse(fmt::format("{}, {}", kHello, more)); }
std::string refused_field(std::string_view body) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", {}}})", body));
  Fields fields(json, "");
  parse_messages_request(fields);
  return fields.ok() ? "(accepted)" : fields.bad_field();
}
std::string refused_with(std::string_view more) {
  return refused_field(fmt::format(R"("max_tokens": 8, {}, {})", kHello, more));
}
std::string refused_messages(std::string_view messages) {
  return refused_field(fmt::format(R"("max_tokens": 8, "messages": {})", messages));
}
const ChatPrompt& prompt_of(const MessagesRequest& request) { return std::get<ChatPrompt>(request.task.prompt); }

TEST(MessagesRequest, IsATask) {
  const MessagesRequest request =
      parse_with(R"("system": [{"type": "text", "text": "Be", "cache_control": {"type": "ephemeral"}},
                               {"type": "text", "text": "brief."}],
                    "temperature": 0.5, "top_k": 3, "stop_sequences": ["a", "b"], "stream": true,
                    "metadata": {"user_id": "me"}, "thinking": {"type": "disabled"})");
  EXPECT_EQ(Json::parse(prompt_of(request).messages_json),
            Json::parse(R"([{"role": "system", "content": "Be\nbrief."}, {"role": "user", "content": "Hello"}])"));
  EXPECT_EQ(request.task.max_tokens, 8);
  EXPECT_EQ(request.task.sampling.temperature, 0.5F);
  EXPECT_EQ(request.task.sampling.top_k, 3);
  EXPECT_THAT(request.task.stop, ElementsAre("a", "b"));
  EXPECT_EQ(request.task.thinks, false);
  EXPECT_TRUE(request.streams);
  EXPECT_FALSE(prompt_of(request).continues_last);
  EXPECT_FALSE(parse_with(R"("thinking": {"type": "adaptive"})").task.thinks);
  EXPECT_EQ(parse_with(R"("thinking": {"type": "enabled", "budget_tokens": 1024})").task.thinks, true);
  EXPECT_EQ(parse_with(R"("output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}})")
                .task.grammar->text,
            R"({"type":"object"})");
}

TEST(MessagesRequest, BlocksAreMessages) {
  const MessagesRequest request = parse(R"("messages": [
      {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}},
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "sun"}]},
        {"type": "tool_result", "tool_use_id": "toolu_2"}, {"type": "text", "text": "So?"}]},
      {"role": "assistant", "content": "It is"}])");
  EXPECT_EQ(Json::parse(prompt_of(request).messages_json), Json::parse(R"([{"role": "user", "content": "Weather?"},
      {"role": "assistant", "content": "Let me see.", "reasoning_content": "Hm.", "tool_calls": [
        {"id": "000000001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Bern"}}},
        {"id": "000000002", "type": "function", "function": {"name": "now", "arguments": {}}}]},
      {"role": "tool", "content": "sun", "tool_call_id": "000000001", "name": "weather"},
      {"role": "tool", "content": "", "tool_call_id": "000000002", "name": "now"},
      {"role": "user", "content": "So?"}, {"role": "assistant", "content": "It is"}])"));
  EXPECT_TRUE(prompt_of(request).continues_last);
}

TEST(MessagesRequest, Tools) {
  const MessagesRequest request = parse_with(
      R"("tools": [{"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}],
         "tool_choice": {"type": "auto"})");
  EXPECT_TRUE(prompt_of(request).has_tools);
  EXPECT_EQ(Json::parse(prompt_of(request).variables_json)["tools"][0]["function"]["name"], "f");
  EXPECT_FALSE(prompt_of(request).tool_use.must_call);
  const auto use_of = [](std::string_view choice) {
    return prompt_of(parse_with(fmt::format(R"("tools": [{{"name": "f"}}], "tool_choice": {})", choice))).tool_use;
  };
  EXPECT_TRUE(use_of(R"({"type": "any", "disable_parallel_tool_use": true})").must_call);
  EXPECT_FALSE(use_of(R"({"type": "any", "disable_parallel_tool_use": true})").calls_in_parallel);
  EXPECT_EQ(use_of(R"({"type": "tool", "name": "f"})").only, "f");
}

TEST(MessagesRequest, WhatIsWrongIsNamed) {
  EXPECT_EQ(refused_field(kHello), "max_tokens");
  EXPECT_EQ(refused_field(R"("max_tokens": 0, "messages": [{"role": "user", "content": "x"}])"), "max_tokens");
  EXPECT_EQ(refused_field(R"("max_tokens": 8)"), "messages");
  EXPECT_EQ(refused_messages("[]"), "messages");
  EXPECT_EQ(refused_messages("[3]"), "messages[0]");
  EXPECT_EQ(refused_messages(R"([{"role": "tool", "content": "x"}])"), "messages[0].role");
  EXPECT_EQ(refused_messages(R"([{"role": "user"}])"), "messages[0].content");
  EXPECT_EQ(refused_messages(R"([{"role": "user", "content": 3}])"), "messages[0].content");
  EXPECT_EQ(refused_messages(R"([{"role": "user", "content": [{"type": "image", "source": {}}]}])"),
            "messages[0].content[0].type");
  EXPECT_EQ(refused_messages(R"([{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f"}]}])"),
            "messages[0].content[0].type");
  EXPECT_EQ(refused_messages(R"([{"role": "user", "content": [{"type": "tool_result"}]}])"),
            "messages[0].content[0].tool_use_id");
  EXPECT_EQ(refused_messages(R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]}])"),
            "messages[0].content[0].name");
  EXPECT_EQ(refused_with(R"("tools": [{"type": "web_search_20250305", "name": "web_search"}])"), "tools[0].type");
  EXPECT_EQ(refused_with(R"("tools": [{"input_schema": {}}])"), "tools[0].name");
  EXPECT_EQ(refused_with(R"("tools": [{"name": "f", "input_schema": 3}])"), "tools[0].input_schema");
  EXPECT_EQ(refused_with(R"("tool_choice": {"type": "any"})"), "tool_choice");
  EXPECT_EQ(refused_with(R"("tool_choice": {"type": "some"})"), "tool_choice.type");
  EXPECT_EQ(refused_with(R"("tool_choice": {"type": "tool", "name": "f"})"), "tool_choice");
  EXPECT_EQ(refused_with(R"("thinking": {"type": "much"})"), "thinking.type");
  EXPECT_EQ(refused_with(R"("stop_sequences": [""])"), "stop_sequences");
  EXPECT_EQ(refused_with(R"("output_config": {"format": {"type": "json_schema"}})"), "output_config.format.schema");
  for (const std::string_view field : {"system", "temperature", "top_p", "top_k", "stop_sequences", "stream", "tools",
                                       "tool_choice", "thinking", "output_config"}) {
    EXPECT_THAT(refused_with(fmt::format(R"("{}": [["x"]])", field)), StartsWith(field));
  }
}

MessagesAnswer answer_of(bool streams) { return {.id = "msg_1", .model = "demo", .streams = streams}; }

TEST(MessagesWriter, AnswersInOnePiece) {
  MessagesWriter writer(answer_of(false));
  PlayedReply played(writer);
  EXPECT_EQ(played.thinks("Hm.").says("Hel").says("lo").ends().response().body,
            R"({"id":"msg_1","type":"message","role":"assistant","model":"demo","content":[{"type":"thinking",)"
            R"("thinking":"Hm.","signature":""},{"type":"text","text":"Hello"}],"stop_reason":"end_turn",)"
            R"("stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,)"
            R"("cache_read_input_tokens":2,"output_tokens":3}})");
}

TEST(MessagesWriter, Streams) {
  MessagesWriter writer(answer_of(true));
  PlayedReply played(writer);
  EXPECT_EQ(
      played.says("Hel").says("lo").ends(ReplyStatus::kMaxTokens).stream(),
      "event: message_start\n"
      R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"demo",)"
      R"("content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,)"
      R"("cache_creation_input_tokens":0,"cache_read_input_tokens":2,"output_tokens":0}}})"
      "\n\nevent: content_block_start\n"
      R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}})"
      "\n\nevent: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}})"
      "\n\nevent: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":0})"
      "\n\nevent: message_delta\n"
      R"(data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},)"
      R"("usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":2,"output_tokens":2}})"
      "\n\nevent: message_stop\n"
      R"(data: {"type":"message_stop"})"
      "\n\n");
}

TEST(MessagesWriter, ThinkingAndCallsAreBlocks) {
  MessagesWriter writer(answer_of(true));
  PlayedReply played(writer);
  const auto events = read_events(played.thinks("Hm.").calls("f", R"({"x":1})").calls("g", "{}").ends().stream());
  EXPECT_THAT(names_of(events),
              ElementsAre("message_start", "content_block_start", "content_block_delta", "content_block_stop",
                          "content_block_start", "content_block_delta", "content_block_stop", "content_block_start",
                          "content_block_delta", "content_block_stop", "message_delta", "message_stop"));
  EXPECT_EQ(events[2].data["delta"], Json({{"type", "thinking_delta"}, {"thinking", "Hm."}}));
  EXPECT_EQ(events[4].data["index"], 1);
  EXPECT_THAT(events[4].data["content_block"]["id"].get<std::string>(), MatchesRegex("toolu_[A-Za-z0-9]+"));
  EXPECT_EQ(events[4].data["content_block"]["input"], Json::object());
  EXPECT_EQ(events[5].data["delta"], Json({{"type", "input_json_delta"}, {"partial_json", R"({"x":1})"}}));
  EXPECT_EQ(events[10].data["delta"]["stop_reason"], "tool_use");

  MessagesWriter whole(answer_of(false));
  PlayedReply again(whole);
  const Json content = Json::parse(again.calls("f", R"({"x":1})").ends().response().body)["content"];
  EXPECT_EQ(content[0]["input"], Json({{"x", 1}}));
}

TEST(MessagesWriter, AStopStringIsNamed) {
  MessagesWriter writer(answer_of(false));
  ReplyWriter::End end;
  end.reply.stop_string = "END";
  writer.on_end(end);
  const Json body = Json::parse(writer.response().body);
  EXPECT_EQ(body["stop_reason"], "stop_sequence");
  EXPECT_EQ(body["stop_sequence"], "END");
  end.reply = {};
  end.reply.status = ReplyStatus::kContextFull;
  MessagesWriter full(answer_of(false));
  full.on_end(end);
  EXPECT_EQ(Json::parse(full.response().body)["stop_reason"], "model_context_window_exceeded");
}

TEST(MessagesWriter, ErrorsAreNeverASuccess) {
  MessagesWriter writer(answer_of(false));
  PlayedReply played(writer);
  const HttpResponse response = played.says("a").fails({ErrorKind::kBusy, "full"}).response();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, R"({"type":"error","error":{"type":"overloaded_error","message":"full"}})");
  MessagesWriter streamer(answer_of(true));
  PlayedReply streamed(streamer);
  const auto events = read_events(streamed.says("a").fails({ErrorKind::kIo, "gone"}).stream());
  EXPECT_EQ(events.back().name, "error");
  EXPECT_EQ(events.back().data.dump(), R"({"type":"error","error":{"type":"api_error","message":"gone"}})");
}

}  // namespace
}  // namespace hotaru::server
