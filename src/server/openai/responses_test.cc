#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/event_stream_reader.h"
#include "server/openai/played_reply.h"
#include "server/openai/responses_request.h"
#include "server/openai/responses_writer.h"

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

ResponsesRequest parse(std::string_view more) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", {}}})", more));
  Fields fields(json, "");
  ResponsesRequest request = parse_responses_request(fields);
  EXPECT_TRUE(fields.ok()) << fields.error().message;
  return request;
}
std::string refused_field(std::string_view more) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", {}}})", more));
  Fields fields(json, "");
  parse_responses_request(fields);
  return fields.ok() ? "(accepted)" : fields.bad_field();
}
std::string refused_with(std::string_view more) { return refused_field(fmt::format(R"("input": "x", {})", more)); }
Json messages_of(const ResponsesRequest& request) {
  return Json::parse(std::get<ChatPrompt>(request.task.prompt).messages_json);
}

TEST(ResponsesRequest, IsATask) {
  const ResponsesRequest request = parse(
      R"("input": "Hello", "instructions": "Be brief.", "max_output_tokens": 9, "temperature": 0, "top_p": 0.5,
         "store": true, "include": [], "reasoning": {"effort": "none"}, "truncation": "auto",
         "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}})");
  EXPECT_EQ(messages_of(request),
            Json::parse(R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}])"));
  EXPECT_EQ(request.task.max_tokens, 9);
  EXPECT_EQ(request.task.sampling.temperature, 0.0F);
  EXPECT_EQ(request.task.thinks, false);
  EXPECT_EQ(request.task.when_full, WhenFull::kShift);
  EXPECT_EQ(request.task.grammar->text, R"({"type":"object"})");
  EXPECT_EQ(request.echoed["instructions"], "Be brief.");
  EXPECT_EQ(request.echoed["temperature"], 0);
}

TEST(ResponsesRequest, ItemsAreMessages) {
  const ResponsesRequest request = parse(R"("input": [
      {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
      {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
      {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Bern\"}"},
      {"type": "function_call_output", "call_id": "call_1", "output": "sun"},
      {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
       "content": [{"type": "output_text", "text": "Sunny.", "annotations": []}]},
      {"role": "developer", "content": "Rhyme."}],
      "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": true}])");
  EXPECT_EQ(messages_of(request), Json::parse(R"([{"role": "user", "content": "Weather?"},
      {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [
        {"id": "000000001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Bern"}}}]},
      {"role": "tool", "content": "sun", "tool_call_id": "000000001", "name": "weather"},
      {"role": "assistant", "content": "Sunny."}, {"role": "system", "content": "Rhyme."}])"));
  EXPECT_TRUE(std::get<ChatPrompt>(request.task.prompt).has_tools);
}

TEST(ResponsesRequest, WhatIsWrongIsNamed) {
  EXPECT_EQ(refused_field(R"("stream": false)"), "input");
  EXPECT_EQ(refused_field(R"("input": [])"), "input");
  EXPECT_EQ(refused_field(R"("input": [3])"), "input[0]");
  EXPECT_EQ(refused_field(R"("input": [{"type": "item_reference", "id": "x"}])"), "input[0].type");
  EXPECT_EQ(refused_field(R"("input": [{"role": "user"}])"), "input[0].content");
  EXPECT_EQ(refused_field(R"("input": [{"role": "user", "content": [{"type": "input_image"}]}])"),
            "input[0].content[0].type");
  EXPECT_EQ(refused_field(R"("input": [{"type": "function_call", "call_id": "1"}])"), "input[0].name");
  EXPECT_EQ(refused_field(R"("input": [{"type": "function_call_output", "call_id": "1"}])"), "input[0].output");
  EXPECT_EQ(refused_with(R"("previous_response_id": "resp_1")"), "previous_response_id");
  EXPECT_EQ(refused_with(R"("background": true)"), "background");
  EXPECT_EQ(refused_with(R"("top_logprobs": 2)"), "top_logprobs");
  EXPECT_EQ(refused_with(R"("truncation": "some")"), "truncation");
  EXPECT_EQ(refused_with(R"("text": {"format": {"type": "json_schema", "name": "n"}})"), "text.format.schema");
  EXPECT_EQ(refused_with(R"("reasoning": {"effort": 3})"), "reasoning.effort");
  EXPECT_EQ(refused_with(R"("tools": [{"type": "web_search"}])"), "tools[0].type");
  EXPECT_EQ(refused_with(R"("tools": [{"type": "function"}])"), "tools[0].name");
  for (const std::string_view field : {"instructions", "max_output_tokens", "temperature", "stream", "text", "tools",
                                       "reasoning", "tool_choice", "metadata", "truncation"}) {
    EXPECT_THAT(refused_with(fmt::format(R"("{}": [["x"]])", field)), StartsWith(field));
  }
}

ResponsesAnswer answer_of(bool streams) {
  ResponsesAnswer answer;
  answer.id = "resp_1";
  answer.created = 1700000000;
  answer.model = "demo";
  answer.streams = streams;
  answer.echoed = parse(R"("input": "x")").echoed;
  return answer;
}

TEST(ResponsesWriter, AnswersInOnePiece) {
  ResponsesWriter writer(answer_of(false));
  PlayedReply played(writer);
  Json body = Json::parse(played.thinks("Hm.").says("Hel").says("lo").ends().response().body);
  EXPECT_THAT(body["output"][0]["id"].get<std::string>(), MatchesRegex("rs_[A-Za-z0-9]+"));
  EXPECT_THAT(body["output"][1]["id"].get<std::string>(), MatchesRegex("msg_[A-Za-z0-9]+"));
  body["output"][0]["id"] = "rs_1";
  body["output"][1]["id"] = "msg_1";
  EXPECT_TRUE(body["completed_at"].is_number());
  body["completed_at"] = nullptr;
  EXPECT_EQ(body.dump(),
            R"({"id":"resp_1","object":"response","created_at":1700000000,"completed_at":null,"status":"completed",)"
            R"("model":"demo","output":[{"id":"rs_1","type":"reasoning","status":"completed","summary":[)"
            R"({"type":"summary_text","text":"Hm."}]},{"id":"msg_1","type":"message","status":"completed",)"
            R"("role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]}],)"
            R"("error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"metadata":{},)"
            R"("parallel_tool_calls":true,"reasoning":{"effort":null,"summary":null},"temperature":1.0,)"
            R"("text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled",)"
            R"("previous_response_id":null,"background":false,"store":false,"service_tier":"default",)"
            R"("usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":0},)"
            R"("output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":8}})");
}

TEST(ResponsesWriter, StreamsItemsAsTheyComeIntoBeing) {
  ResponsesWriter writer(answer_of(true));
  PlayedReply played(writer);
  const auto events = read_events(played.thinks("Hm.").says("Hel").says("lo").calls("f", R"({"x":1})").ends().stream());
  EXPECT_THAT(names_of(events),
              ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                          "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
                          "response.reasoning_summary_text.done", "response.reasoning_summary_part.done",
                          "response.output_item.done", "response.output_item.added", "response.content_part.added",
                          "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
                          "response.content_part.done", "response.output_item.done", "response.output_item.added",
                          "response.function_call_arguments.delta", "response.function_call_arguments.done",
                          "response.output_item.done", "response.completed"));
  for (size_t i = 0; i < events.size(); i++) {
    EXPECT_EQ(events[i].data["sequence_number"], i);
    EXPECT_EQ(events[i].data["type"], events[i].name);
  }
  EXPECT_EQ(events[0].data["response"]["status"], "in_progress");
  EXPECT_TRUE(events[0].data["response"]["usage"].is_null());
  EXPECT_EQ(events[8].data["output_index"], 1);
  EXPECT_EQ(events[8].data["item"]["content"], Json::array());
  EXPECT_EQ(events[10].data["delta"], "Hel");
  EXPECT_EQ(events[10].data["item_id"], events[8].data["item"]["id"]);
  EXPECT_EQ(events[12].data["text"], "Hello");
  EXPECT_EQ(events[17].data["arguments"], R"({"x":1})");
  const Json& output = events[19].data["response"]["output"];
  ASSERT_EQ(output.size(), 3U);
  EXPECT_EQ(output[2], events[18].data["item"]);
  EXPECT_EQ(output[2]["status"], "completed");
  EXPECT_EQ(events[15].data["item"]["arguments"], "");
}

TEST(ResponsesWriter, ACutIsIncomplete) {
  ResponsesWriter writer(answer_of(true));
  PlayedReply played(writer);
  const auto events = read_events(played.says("Hel").ends(ReplyStatus::kMaxTokens).stream());
  EXPECT_EQ(events.back().name, "response.incomplete");
  const Json& response = events.back().data["response"];
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
}

TEST(ResponsesWriter, ErrorsAreNeverASuccess) {
  ResponsesWriter writer(answer_of(false));
  PlayedReply played(writer);
  EXPECT_EQ(played.says("a").fails({ErrorKind::kIo, "gone"}).response().status, 500);
  ResponsesWriter streamer(answer_of(true));
  PlayedReply streamed(streamer);
  const auto events = read_events(streamed.says("a").fails({ErrorKind::kIo, "gone"}).stream());
  EXPECT_EQ(events.back().name, "response.failed");
  EXPECT_EQ(events.back().data["response"]["error"], Json({{"code", "server_error"}, {"message", "gone"}}));
}

}  // namespace
}  // namespace hotaru::server
