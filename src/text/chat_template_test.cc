#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/test_data.h"

namespace hotaru {
namespace {

using namespace test_data;  // NOLINT(google-build-using-namespace)
using testing::HasSubstr;

ChatTemplate make(const std::string& text, const std::string& tool_use = "") {
  TextBundle bundle;
  bundle.chat_template = text;
  bundle.tool_use_template = tool_use;
  bundle.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  auto result = ChatTemplate::create(bundle);
  if (!result) ADD_FAILURE() << result.error().message;
  return *std::move(result);
}

const char* const kHello = R"([{"role": "user", "content": "Hello"}])";

// Every rendering by Jinja2 itself, set up as transformers does: tests/data/chat_templates/render.py.
TEST(ChatTemplate, RendersAsTransformersDoes) {
  const std::string folder = kSource + "/tests/data/chat_templates/";
  const Json golden = read_json(folder + "cases.json");
  for (const Json& item : golden["cases"]) {
    const auto name = item["template"].get<std::string>();
    const ChatTemplate chat = make(*read_text_file(folder + name));
    ChatRequest request;
    request.messages_json = item["messages"].dump();
    request.variables_json = item["variables"].dump();
    request.add_generation_prompt = item["add_generation_prompt"].get<bool>();
    request.now_unix_seconds = golden["now_unix_seconds"].get<int64_t>();
    const auto text = chat.render(request);
    if (item.contains("text")) {
      EXPECT_EQ(text ? *text : text.error().message, item["text"].get<std::string>()) << name;
      continue;
    }
    const auto message = item["error"].get<std::string>();
    ASSERT_FALSE(text) << name << ": want error " << message;
    // What the template says itself (raise_exception) comes through; Python's own messages have no twin.
    if (message.starts_with("Conversation")) {
      EXPECT_THAT(text.error().message, HasSubstr(message));
    }
  }
  EXPECT_GT(golden["cases"].size(), 100U);
}

TEST(ChatTemplate, DemoEqualsTheReference) {
  const TextBundle bundle = *TextBundle::load(kDemo);
  const ChatTemplate chat = *ChatTemplate::create(bundle);
  const Json reference = read_json(kSource + "/tests/data/reference/demo.json");
  for (const Json& item : reference["chat"]) {
    EXPECT_EQ(*chat.render({.messages_json = item["messages"].dump()}), item["text"].get<std::string>());
  }
}

TEST(ChatTemplate, ToolUseTemplateServesRequestsWithTools) {
  const ChatTemplate chat = make("plain", "with {{ tools | length }} tools");
  EXPECT_EQ(*chat.render({.messages_json = kHello}), "plain");
  EXPECT_EQ(*chat.render({.messages_json = kHello, .variables_json = R"({"tools": null})"}), "plain");
  EXPECT_EQ(*chat.render({.messages_json = kHello, .variables_json = R"({"tools": [1, 2]})"}), "with 2 tools");
}

TEST(ChatTemplate, PrintsNumbersAsPythonDoes) {
  const ChatTemplate chat = make("{{ v }}|{{ v | tojson }}");
  const auto printed = [&](const std::string& value) {
    return *chat.render({.messages_json = "[]", .variables_json = R"({"v": )" + value + "}"});
  };
  EXPECT_EQ(printed("0.0001"), "0.0001|0.0001");
  EXPECT_EQ(printed("0.00001234"), "1.234e-05|1.234e-05");
  EXPECT_EQ(printed("1e15"), "1000000000000000.0|1000000000000000.0");
  EXPECT_EQ(printed("1e16"), "1e+16|1e+16");
  EXPECT_EQ(printed("-2.5e-300"), "-2.5e-300|-2.5e-300");
  EXPECT_EQ(printed("-0.0"), "-0.0|-0.0");
  EXPECT_EQ(printed("18446744073709551615"), "18446744073709551615|18446744073709551615");
  EXPECT_EQ(printed(R"("\u0001\n'\"é")"), "\x01\n'\"é|\"\\u0001\\n'\\\"é\"");
  EXPECT_EQ(printed("[true, null, {}]"), "[True, None, {}]|[true, null, {}]");
}

TEST(ChatTemplate, DatesComeFromTheRequest) {
  const ChatTemplate chat = make("{{ strftime_now('%Y-%m-%d') }}{{ strftime_now('') }}");
  EXPECT_EQ(*chat.render({.messages_json = "[]", .now_unix_seconds = 1735732800}), "2025-01-01");
  EXPECT_FALSE(make("{{ strftime_now('%9999d') }}").render({.messages_json = "[]"}));
}

TEST(ChatTemplate, ErrorsNameThePlace) {
  TextBundle bundle;
  EXPECT_EQ(ChatTemplate::create(bundle).error().kind, ErrorKind::kNotFound);
  bundle.chat_template = "line one\n{% for %}";
  EXPECT_THAT(ChatTemplate::create(bundle).error().message, HasSubstr("chat_template line 2"));
  const ChatTemplate chat = make("{{ messages[0].content.nothing.more }}");
  EXPECT_THAT(chat.render({.messages_json = kHello}).error().message, HasSubstr("chat_template line 1"));
  EXPECT_THAT(chat.render({.messages_json = "{"}).error().message, HasSubstr("messages"));
  EXPECT_THAT(chat.render({.messages_json = "{}"}).error().message, HasSubstr("want a JSON array"));
  EXPECT_THAT(chat.render({.messages_json = "[]", .variables_json = "[]"}).error().message,
              HasSubstr("template variables"));
}

TEST(ChatTemplate, EndlessWorkIsCut) {
  const ChatTemplate chat = make(
      "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor "
      "%}");
  EXPECT_THAT(chat.render({.messages_json = "[]"}).error().message, HasSubstr("fuel"));
  EXPECT_FALSE(make("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").render({.messages_json = "[]"}));
}

TEST(ChatTemplate, GenerationTagsHaveAScope) {
  const ChatTemplate chat = make("{% set x = 1 %}{% generation %}a{% set x = 2 %}{{ x }}{%- endgeneration %} {{ x }}");
  EXPECT_EQ(*chat.render({.messages_json = "[]"}), "a2 1");
}

}  // namespace
}  // namespace hotaru
