#include "server/reply/reply_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/file.h"

namespace hotaru::server {
namespace {

using Calls = ReplyDialect::Calls;

ReplyDialect dialect_of(const std::string& name) {
  return ReplyDialect::of_template(
      *read_text_file(std::string(HOTARU_SOURCE_DIR) + "/tests/data/chat_templates/" + name + ".jinja"));
}

// As one text, so that two outputs can be compared.
std::string print(const ReplyParts::Output& output) {
  std::string text = "thinking:" + output.thinking + "|content:" + output.content;
  for (const ToolCall& call : output.calls) text += "|" + call.name + call.arguments_json;
  return text;
}

void add(ReplyParts::Output& total, ReplyParts::Output&& more) {
  total.thinking += more.thinking;
  total.content += more.content;
  for (ToolCall& call : more.calls) total.calls.push_back(std::move(call));
}

// In pieces of sizes that `random` chooses; all at once without it.
std::string parts(const ReplyDialect& dialect, std::string_view text, std::mt19937* random = nullptr,
                  ReplyParts::Wanted wanted = {.splits_thinking = true, .finds_calls = true}) {
  ReplyParts reply(dialect, wanted);
  ReplyParts::Output total;
  while (!text.empty()) {
    const size_t size = random == nullptr ? text.size() : std::min<size_t>(text.size(), 1 + (*random)() % 7);
    add(total, reply.push(text.substr(0, size)));
    text.remove_prefix(size);
  }
  add(total, reply.finish());
  return print(total);
}

const ReplyDialect kQwen3 = {.calls = Calls::kTagged, .think_begin = "<think>", .think_end = "</think>"};
const ReplyDialect kLlama = {.calls = Calls::kBareJson, .think_begin = {}, .think_end = {}};
const ReplyDialect kMistral = {.calls = Calls::kMistral, .think_begin = {}, .think_end = {}};

TEST(ReplyDialect, IsReadFromTheTemplate) {
  EXPECT_EQ(dialect_of("qwen2.5-instruct").calls, Calls::kTagged);
  EXPECT_EQ(dialect_of("qwen2.5-instruct").think_begin, "");
  EXPECT_EQ(dialect_of("chatml").calls, Calls::kNone);
  EXPECT_EQ(dialect_of("llama-3-instruct").calls, Calls::kNone);
  EXPECT_EQ(dialect_of("gemma-it").calls, Calls::kNone);
  EXPECT_EQ(dialect_of("qwen3-part").calls, Calls::kTagged);
  EXPECT_EQ(dialect_of("qwen3-part").think_begin, "<think>");
  EXPECT_FALSE(dialect_of("qwen3-part").begins_thinking);
  EXPECT_TRUE(dialect_of("reasoner-part").begins_thinking);
  EXPECT_EQ(dialect_of("hermes-part").calls, Calls::kTagged);
  EXPECT_EQ(dialect_of("llama-3.1-part").calls, Calls::kBareJson);
  EXPECT_EQ(dialect_of("mistral-part").calls, Calls::kMistral);
}

TEST(ReplyParts, ReasoningAndContent) {
  EXPECT_EQ(parts(kQwen3, "<think>\nHm.\n\nYes.\n</think>\n\nHello  \n"), "thinking:Hm.\n\nYes.|content:Hello  \n");
  EXPECT_EQ(parts(kQwen3, "\n<think>Hm"), "thinking:Hm|content:");
  EXPECT_EQ(parts(kQwen3, "<think>\n\n</think>\n\nHello"), "thinking:|content:Hello");
  EXPECT_EQ(parts(kQwen3, " Hello <think> not"), "thinking:|content: Hello <think> not");
  EXPECT_EQ(parts(kQwen3, "<thin"), "thinking:|content:<thin");
  EXPECT_EQ(parts(kQwen3, " \n"), "thinking:|content: \n");
  ReplyDialect opened = kQwen3;
  opened.begins_thinking = true;
  EXPECT_EQ(parts(opened, "Hm.\n</think>\n\nHello"), "thinking:Hm.|content:Hello");
  EXPECT_EQ(parts(opened, "<think>Hm.</think>Hello"), "thinking:Hm.|content:Hello");
  EXPECT_EQ(parts(opened, "Hm. </thin"), "thinking:Hm. </thin|content:");
  EXPECT_EQ(parts(kQwen3, "<think>a</think> b", nullptr, {.splits_thinking = false, .finds_calls = true}),
            "thinking:|content:<think>a</think> b");
}

TEST(ReplyParts, TaggedCalls) {
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}</tool_call>\"]}}\n</tool_call>";
  const std::string read = "|f{\"a\":[1,\"}</tool_call>\"]}";
  EXPECT_EQ(parts(kQwen3, call), "thinking:|content:" + read);
  EXPECT_EQ(parts(kQwen3, "Let me see.\n" + call + "\n" + call + "\n"), "thinking:|content:Let me see." + read + read);
  EXPECT_EQ(parts(kQwen3, "<think>x</think>\n\n" + call), "thinking:x|content:" + read);
  EXPECT_EQ(parts(kQwen3, "a " + call + " b"), "thinking:|content:ab" + read);
  EXPECT_EQ(parts(kQwen3, R"(<tool_call>{"name":"f","arguments":"{\"b\":2}"})"), "thinking:|content:|f{\"b\":2}");
  EXPECT_EQ(parts(kQwen3, call, nullptr, {.splits_thinking = true, .finds_calls = false}), "thinking:|content:" + call);
}

TEST(ReplyParts, WhatIsNoCallIsContent) {
  for (const std::string text : {"a <tool_call> is a mark", "<tool_call>\n{\"name\": \"f\", \"argu", "<tool_call>",
                                 "<tool_call>\n{\"name\": 3, \"arguments\": {}}\n</tool_call> x", "<tool_cal  "}) {
    EXPECT_EQ(parts(kQwen3, text), "thinking:|content:" + text);
  }
  for (const std::string text :
       {"{\"a\": 1}", "{\"name\": \"Bob\"} and", "{", "{\"na", "{\"name\": \"f\", \"parameters\": 3}"}) {
    EXPECT_EQ(parts(kLlama, text), "thinking:|content:" + text);
  }
  for (const std::string text : {"[TOOL_CALLS] none", "[TOOL", "[1] says", "[{\"name\": \"f\"}]", "["}) {
    EXPECT_EQ(parts(kMistral, text), "thinking:|content:" + text);
  }
}

TEST(ReplyParts, LlamaAndMistral) {
  const std::string one = R"({"name": "f", "parameters": {"a": {"b": "\"}"}}})";
  const std::string read = R"(|f{"a":{"b":"\"}"}})";
  EXPECT_EQ(parts(kLlama, one), "thinking:|content:" + read);
  EXPECT_EQ(parts(kLlama, "<|python_tag|>" + one + "; " + one), "thinking:|content:" + read + read);
  EXPECT_EQ(parts(kLlama, "See: " + one), "thinking:|content:See: " + one);
  const std::string list = R"([{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}])";
  EXPECT_EQ(parts(kMistral, "[TOOL_CALLS] " + list), "thinking:|content:|f{\"a\":1}|g{}");
  EXPECT_EQ(parts(kMistral, " " + list), "thinking:|content:|f{\"a\":1}|g{}");  // special tokens are not in the text
  EXPECT_EQ(parts(kMistral, "Yes. [TOOL_CALLS]" + list), "thinking:|content:Yes.|f{\"a\":1}|g{}");
}

TEST(ReplyParts, TextLeavesAsSoonAsItIsCertain) {
  ReplyParts reply(kQwen3, {.splits_thinking = true, .finds_calls = true});
  EXPECT_EQ(reply.push("<think>Hm").thinking, "Hm");
  EXPECT_EQ(reply.push(" so </").thinking, " so");
  EXPECT_EQ(reply.push("b").thinking, " </b");
  EXPECT_EQ(reply.push("</think>\n\nHello").content, "Hello");
  EXPECT_EQ(reply.push(" you<").content, " you");
  EXPECT_EQ(reply.push("3").content, "<3");
}

// However a text is cut, the parts are the same.
TEST(ReplyParts, CutsDoNotMatter) {
  const std::vector<std::string> pieces = {"<think>",
                                           "</think>",
                                           "<tool_call>",
                                           "</tool_call>",
                                           "[TOOL_CALLS]",
                                           "<|python_tag|>",
                                           "{\"name\": \"f\", \"arguments\": {}}",
                                           "{\"name\": \"f\", \"parameters\": {\"x\": \"]}\"}}",
                                           "[{\"name\": \"g\", \"arguments\": {\"a\": 1}}]",
                                           "{",
                                           "}",
                                           "[",
                                           "]",
                                           "\"",
                                           "\\",
                                           " ",
                                           "\n\n",
                                           ";",
                                           "word",
                                           "<",
                                           "日本",
                                           "<tool",
                                           "name"};
  std::mt19937 random(5);
  for (int i = 0; i < 3000; i++) {
    std::string text;
    for (size_t n = random() % 9; n > 0; n--) text += pieces[random() % pieces.size()];
    for (ReplyDialect dialect : {kQwen3, kLlama, kMistral}) {
      dialect.think_begin = kQwen3.think_begin;
      dialect.think_end = kQwen3.think_end;
      dialect.begins_thinking = random() % 4 == 0;
      const ReplyParts::Wanted wanted = {.splits_thinking = random() % 4 != 0, .finds_calls = random() % 4 != 0};
      const std::string whole = parts(dialect, text, nullptr, wanted);
      for (int cut = 0; cut < 3; cut++) ASSERT_EQ(parts(dialect, text, &random, wanted), whole) << text;
    }
  }
}

}  // namespace
}  // namespace hotaru::server
