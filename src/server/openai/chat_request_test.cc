#include "server/openai/chat_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kHello = R"("model": "demo", "messages": [{"role": "user", "content": "Hello"}])";

ChatRequest parse(const std::string& body) {
  const Json json = Json::parse(body);
  Fields fields(json, "");
  ChatRequest request = parse_chat_request(fields);
  EXPECT_TRUE(fields.ok()) << fields.error().message;
  return request;
}
// With more fields beside model and messages.
ChatRequest parse_with(std::string_view more) { return parse(fmt::format("{{{}, {}}}", kHello, more)); }

struct Refusal {
  std::string field, message;
};
Refusal refusal_of(const std::string& body) {
  const Json json = Json::parse(body);
  Fields fields(json, "");
  parse_chat_request(fields);
  if (fields.ok()) return {"(accepted)", ""};
  EXPECT_EQ(fields.error().kind, ErrorKind::kInvalid);
  return {fields.bad_field(), fields.error().message};
}
Refusal refusal_with(std::string_view more) { return refusal_of(fmt::format("{{{}, {}}}", kHello, more)); }
Refusal refusal_of_messages(std::string_view messages) {
  return refusal_of(fmt::format(R"({{"model": "demo", "messages": {}}})", messages));
}

const ChatPrompt& prompt_of(const ChatRequest& request) { return std::get<ChatPrompt>(request.task.prompt); }
Json messages_of(std::string_view messages) {
  return Json::parse(prompt_of(parse(fmt::format(R"({{"model": "demo", "messages": {}}})", messages))).messages_json);
}

TEST(ChatRequest, IsATask) {
  const ChatRequest request = parse(fmt::format(R"({{{}, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1,
      "seed": -1, "frequency_penalty": -2, "presence_penalty": 1.5, "repetition_penalty": 1.2, "max_tokens": 7, "n": 3,
      "stop": ["a", "b"], "logit_bias": {{"12": -100, "7": 2.5}}, "lora": "pirate", "user": "me", "metadata": {{}},
      "store": false, "service_tier": "auto", "unheard_of": 1}})",
                                                kHello));
  const ReplyTask& task = request.task;
  EXPECT_EQ(task.model, "demo");
  EXPECT_EQ(task.lora, "pirate");
  EXPECT_EQ(task.sampling.temperature, 0.5F);
  EXPECT_EQ(task.sampling.top_p, 0.9F);
  EXPECT_EQ(task.sampling.top_k, 40);
  EXPECT_EQ(task.sampling.min_p, 0.1F);
  EXPECT_EQ(task.sampling.seed, ~uint64_t{0});
  EXPECT_EQ(task.sampling.frequency_penalty, -2.0F);
  EXPECT_EQ(task.sampling.presence_penalty, 1.5F);
  EXPECT_EQ(task.sampling.repetition_penalty, 1.2F);
  ASSERT_EQ(task.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(task.sampling.logit_bias[0].id, 12);
  EXPECT_EQ(task.sampling.logit_bias[0].bias, -100.0F);
  EXPECT_EQ(task.max_tokens, 7);
  EXPECT_EQ(task.samples, 3);
  EXPECT_THAT(task.stop, ElementsAre("a", "b"));
  EXPECT_EQ(task.top_logprobs, -1);
  EXPECT_FALSE(request.streams);
  EXPECT_EQ(prompt_of(request).messages_json, R"([{"role":"user","content":"Hello"}])");
  EXPECT_EQ(prompt_of(request).variables_json, "");
  EXPECT_FALSE(prompt_of(request).has_tools);
}

TEST(ChatRequest, NullIsAbsent) {
  const ChatRequest request = parse_with(
      R"("temperature": null, "top_p": null, "n": null, "stop": null, "seed": null, "stream": null, "max_tokens": null,
         "stream_options": null, "logit_bias": null, "logprobs": null, "top_logprobs": null, "tools": null,
         "tool_choice": null, "response_format": null, "reasoning_effort": null, "lora": null, "keep_alive": null)");
  EXPECT_FALSE(request.task.sampling.temperature || request.task.sampling.seed || request.task.grammar);
  EXPECT_EQ(request.task.max_tokens, -1);
  EXPECT_EQ(request.task.samples, 1);
}

TEST(ChatRequest, NewNamesWin) {
  EXPECT_EQ(parse_with(R"("max_tokens": 7, "max_completion_tokens": 9)").task.max_tokens, 9);
  EXPECT_EQ(parse_with(R"("stop": "x")").task.stop, std::vector<std::string>{"x"});
}

TEST(ChatRequest, Streams) {
  EXPECT_TRUE(parse_with(R"("stream": true)").streams);
  EXPECT_TRUE(parse_with(R"("stream": true, "stream_options": {"include_usage": true})").includes_usage);
  EXPECT_EQ(refusal_with(R"("stream_options": {"include_usage": true})").field, "stream_options");
}

TEST(ChatRequest, Logprobs) {
  EXPECT_EQ(parse_with(R"("logprobs": true)").task.top_logprobs, 0);
  EXPECT_EQ(parse_with(R"("logprobs": true, "top_logprobs": 3)").task.top_logprobs, 3);
  EXPECT_EQ(refusal_with(R"("top_logprobs": 3)").field, "top_logprobs");
  EXPECT_EQ(refusal_with(R"("logprobs": true, "top_logprobs": 21)").field, "top_logprobs");
}

TEST(ChatRequest, ReasoningIsSwitched) {
  EXPECT_EQ(parse_with(R"("reasoning_effort": "none")").task.thinks, false);
  EXPECT_EQ(parse_with(R"("reasoning_effort": "high")").task.thinks, true);
  EXPECT_EQ(refusal_with(R"("reasoning_effort": "much")").field, "reasoning_effort");
  EXPECT_EQ(prompt_of(parse_with(R"("chat_template_kwargs": {"enable_thinking": false})")).variables_json,
            R"({"enable_thinking":false})");
}

TEST(ChatRequest, FormatsAreGrammars) {
  EXPECT_FALSE(parse_with(R"("response_format": {"type": "text"})").task.grammar);
  EXPECT_EQ(parse_with(R"("response_format": {"type": "json_object"})").task.grammar->kind,
            GrammarSpec::Kind::kJsonObject);
  const auto grammar =
      parse_with(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true,
                    "schema": {"type": "object", "properties": {"b": {}, "a": {}}}}})")
          .task.grammar;
  EXPECT_EQ(grammar->kind, GrammarSpec::Kind::kJsonSchema);
  EXPECT_EQ(grammar->text, R"({"type":"object","properties":{"b":{},"a":{}}})");  // in the client's order
  EXPECT_EQ(refusal_with(R"("response_format": {"type": "xml"})").field, "response_format.type");
  EXPECT_EQ(refusal_with(R"("response_format": "json")").field, "response_format");
  EXPECT_EQ(refusal_with(R"("response_format": {"type": "json_schema"})").field, "response_format.json_schema");
  EXPECT_EQ(refusal_with(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n"}})").field,
            "response_format.json_schema.schema");
  EXPECT_EQ(
      refusal_with(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": 3}})").field,
      "response_format.json_schema.schema");
}

TEST(ChatRequest, EveryWrongTypeIsNamed) {
  for (const std::string_view field : {"temperature",
                                       "top_p",
                                       "top_k",
                                       "min_p",
                                       "seed",
                                       "frequency_penalty",
                                       "presence_penalty",
                                       "repetition_penalty",
                                       "max_tokens",
                                       "max_completion_tokens",
                                       "n",
                                       "stop",
                                       "stream",
                                       "stream_options",
                                       "logit_bias",
                                       "logprobs",
                                       "top_logprobs",
                                       "tools",
                                       "tool_choice",
                                       "parallel_tool_calls",
                                       "response_format",
                                       "reasoning_effort",
                                       "lora",
                                       "chat_template_kwargs"}) {
    for (const std::string_view wrong : {R"([["x"]])", R"({"x": []})"}) {
      const bool is_object = wrong.starts_with('{');
      if (is_object && (field == "chat_template_kwargs")) continue;
      const Refusal refusal = refusal_with(fmt::format(R"("{}": {})", field, wrong));
      EXPECT_THAT(refusal.field, StartsWith(field)) << wrong;
      EXPECT_THAT(refusal.message, StartsWith(fmt::format("'{}", field))) << wrong;
    }
  }
  EXPECT_EQ(refusal_of(R"({"messages": [{"role": "user", "content": "x"}]})").field, "model");
  EXPECT_EQ(refusal_of(R"({"model": 3, "messages": [{"role": "user", "content": "x"}]})").field, "model");
  EXPECT_EQ(refusal_of(R"({"model": "demo"})").field, "messages");
}

TEST(ChatRequest, ValuesOutOfRangeAreNamed) {
  EXPECT_EQ(refusal_with(R"("temperature": 2.5)").message, "'temperature': got 2.5, want a number in [0, 2]");
  EXPECT_EQ(refusal_with(R"("top_p": -0.1)").field, "top_p");
  EXPECT_EQ(refusal_with(R"("n": 0)").field, "n");
  EXPECT_EQ(refusal_with(R"("stop": ["a", ""])").field, "stop");
  EXPECT_EQ(refusal_with(R"("stop": ["a", 3])").field, "stop[1]");
  EXPECT_EQ(refusal_with(R"("logit_bias": {"x": 1})").field, "logit_bias");
  EXPECT_EQ(refusal_with(R"("logit_bias": {"3": 101})").field, "logit_bias.3");
  EXPECT_EQ(refusal_with(R"("logit_bias": {"3": null})").field, "logit_bias.3");
}

TEST(ChatMessages, ContentIsTextOrParts) {
  EXPECT_EQ(messages_of(R"([{"role": "developer", "content": "Be brief."},
                            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                            {"role": "assistant", "content": null, "refusal": "No."}])"),
            Json::parse(R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\nb"},
                            {"role": "assistant", "content": "No."}])"));
}

TEST(ChatMessages, CallsAreObjectsAndIdsAreNumbers) {
  EXPECT_EQ(messages_of(R"([{"role": "user", "content": "Weather?"},
      {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
        {"id": "call_x", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Bern\"}"}},
        {"id": "call_y", "type": "function", "function": {"name": "now", "arguments": ""}}]},
      {"role": "tool", "tool_call_id": "call_y", "content": "noon"}])"),
            Json::parse(R"([{"role": "user", "content": "Weather?"},
      {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [
        {"id": "000000001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Bern"}}},
        {"id": "000000002", "type": "function", "function": {"name": "now", "arguments": {}}}]},
      {"role": "tool", "content": "noon", "tool_call_id": "000000002", "name": "now"}])"));
}

TEST(ChatMessages, WhatIsWrongIsNamed) {
  EXPECT_EQ(refusal_of_messages("[]").field, "messages");
  EXPECT_EQ(refusal_of_messages(R"(["hi"])").field, "messages[0]");
  EXPECT_EQ(refusal_of_messages(R"([{"content": "x"}])").field, "messages[0].role");
  EXPECT_EQ(refusal_of_messages(R"([{"role": "king", "content": "x"}])").field, "messages[0].role");
  EXPECT_EQ(refusal_of_messages(R"([{"role": "user"}])").field, "messages[0].content");
  EXPECT_EQ(refusal_of_messages(R"([{"role": "user", "content": 3}])").field, "messages[0].content");
  EXPECT_EQ(refusal_of_messages(R"([{"role": "assistant", "content": null}])").field, "messages[0].content");
  EXPECT_EQ(refusal_of_messages(R"([{"role": "user", "content": [{"type": "text"}]}])").field,
            "messages[0].content[0].text");
  EXPECT_EQ(refusal_of_messages(R"([{"role": "tool", "content": "x"}])").field, "messages[0].tool_call_id");
  const Refusal image =
      refusal_of_messages(R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}])");
  EXPECT_EQ(image.field, "messages[0].content[0].type");
  EXPECT_THAT(image.message, HasSubstr("read text only"));
  const auto call = [](std::string_view function) {
    return refusal_of_messages(
        fmt::format(R"([{{"role": "assistant", "tool_calls": [{{"id": "1", "function": {}}}]}}])", function));
  };
  EXPECT_EQ(call("3").field, "messages[0].tool_calls[0].function");
  EXPECT_EQ(call("{}").field, "messages[0].tool_calls[0].function.name");
  EXPECT_EQ(call(R"({"name": "f", "arguments": "[1]"})").field, "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(call(R"({"name": "f", "arguments": {}})").field, "messages[0].tool_calls[0].function.arguments");
}

constexpr std::string_view kTools =
    R"("tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
                  "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}},
                 {"type": "function", "function": {"name": "g"}}])";

TEST(ChatTools, GoToTheTemplate) {
  const ChatRequest request = parse_with(kTools);
  EXPECT_TRUE(prompt_of(request).has_tools);
  EXPECT_EQ(Json::parse(prompt_of(request).variables_json), Json::parse(R"({"tools": [
      {"type": "function", "function": {"name": "f", "description": "d",
       "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}},
      {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}]})"));
  const ChatRequest none = parse_with(fmt::format(R"({}, "tool_choice": "none")", kTools));
  EXPECT_FALSE(prompt_of(none).has_tools);
  EXPECT_EQ(prompt_of(none).variables_json, "");
}

TEST(ChatTools, Choices) {
  const auto use_of = [](std::string_view more) {
    return prompt_of(parse_with(fmt::format("{}, {}", kTools, more))).tool_use;
  };
  EXPECT_FALSE(use_of(R"("tool_choice": "auto")").must_call);
  EXPECT_TRUE(use_of(R"("tool_choice": "auto")").calls_in_parallel);
  EXPECT_TRUE(use_of(R"("tool_choice": "required")").must_call);
  EXPECT_EQ(use_of(R"("tool_choice": "required")").only, "");
  EXPECT_FALSE(use_of(R"("parallel_tool_calls": false)").calls_in_parallel);
  const ToolUse named = use_of(R"("tool_choice": {"type": "function", "function": {"name": "g"}})");
  EXPECT_TRUE(named.must_call);
  EXPECT_EQ(named.only, "g");
}

TEST(ChatTools, WhatIsWrongIsNamed) {
  const auto with = [](std::string_view more) { return refusal_with(fmt::format("{}, {}", kTools, more)).field; };
  EXPECT_EQ(with(R"("tool_choice": "maybe")"), "tool_choice");
  EXPECT_EQ(with(R"("tool_choice": {"type": "function"})"), "tool_choice.function");
  EXPECT_EQ(with(R"("tool_choice": {"type": "function", "function": {"name": "h"}})"), "tool_choice");
  EXPECT_EQ(with(R"("tool_choice": {"type": "custom"})"), "tool_choice.type");
  EXPECT_EQ(refusal_with(R"("tool_choice": "required")").field, "tool_choice");
  EXPECT_EQ(refusal_with(R"("tools": [3])").field, "tools[0]");
  EXPECT_EQ(refusal_with(R"("tools": [{"type": "function"}])").field, "tools[0].function");
  EXPECT_EQ(refusal_with(R"("tools": [{"type": "web_search"}])").field, "tools[0].type");
  EXPECT_EQ(refusal_with(R"("tools": [{"type": "function", "function": {}}])").field, "tools[0].function.name");
  EXPECT_EQ(refusal_with(R"("tools": [{"type": "function", "function": {"name": "f", "parameters": []}}])").field,
            "tools[0].function.parameters");
}

}  // namespace
}  // namespace hotaru::server
