#include "server/reply/tool_grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "text/test_data.h"
#include "text/test_schema.h"

namespace hotaru::server {
namespace {

using testing::HasSubstr;
using Calls = ReplyDialect::Calls;

const std::vector<int32_t> kEnds = {4095, 4093};

const Tokenizer& tokenizer() {
  static const Tokenizer demo = test_data::load_tokenizer(test_data::kDemo + "/tokenizer.json");
  return demo;
}

const Json kTools = Json::parse(R"([
  {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {
      "city": {"$ref": "#/$defs/city"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city"], "additionalProperties": false, "$defs": {"city": {"type": "string", "maxLength": 8}}}}},
  {"type": "function", "function": {"name": "now"}}])");

ReplyDialect dialect(Calls calls) { return {.calls = calls, .think_begin = {}, .think_end = {}}; }

// What a model that takes any allowed token writes, in parts.
ReplyParts::Output written(const ReplyDialect& dialect, const GrammarSpec& spec, uint32_t seed) {
  const Result<Grammar> grammar = Grammar::compile(tokenizer(), kEnds, 4096, spec);
  EXPECT_TRUE(grammar.ok()) << spec.text << grammar.error().message;
  std::mt19937 random(seed);
  const std::vector<int32_t> ids = test_data::walk(*grammar, tokenizer(), kEnds, random, 600);
  ReplyParts parts(dialect, {.splits_thinking = true, .finds_calls = true});
  ReplyParts::Output output = parts.push(*tokenizer().decode(ids));
  ReplyParts::Output rest = parts.finish();
  output.content += rest.content;
  output.calls.insert(output.calls.end(), rest.calls.begin(), rest.calls.end());
  return output;
}

class ToolGrammar : public testing::TestWithParam<Calls> {};
INSTANTIATE_TEST_SUITE_P(Dialects, ToolGrammar, testing::Values(Calls::kTagged, Calls::kBareJson, Calls::kMistral));

TEST_P(ToolGrammar, TheReplyIsACallOfATool) {
  size_t most = 0;
  size_t weathers = 0;
  for (uint32_t seed = 0; seed < 15; seed++) {
    const GrammarSpec spec = *tool_grammar(dialect(GetParam()), kTools, {}, tokenizer());
    const ReplyParts::Output output = written(dialect(GetParam()), spec, seed);
    ASSERT_FALSE(output.calls.empty()) << output.content;
    EXPECT_EQ(output.content, "");
    most = std::max(most, output.calls.size());
    for (const ToolCall& call : output.calls) {
      Json parameters = {{"type", "object"}, {"additionalProperties", false}};
      if (call.name == "weather") {
        parameters = kTools[0]["function"]["parameters"];
        parameters["properties"]["city"] = parameters["$defs"]["city"];
        weathers++;
      } else {
        EXPECT_EQ(call.name, "now");
      }
      EXPECT_TRUE(test_data::satisfies(Json::parse(call.arguments_json), parameters)) << call.arguments_json;
    }
  }
  EXPECT_GT(most, 1U);
  EXPECT_GT(weathers, 0U);
}

TEST_P(ToolGrammar, OneNamedTool) {
  for (uint32_t seed = 0; seed < 8; seed++) {
    const GrammarSpec spec = *tool_grammar(dialect(GetParam()), kTools,
                                           {.must_call = true, .only = "now", .calls_in_parallel = false}, tokenizer());
    const ReplyParts::Output output = written(dialect(GetParam()), spec, seed);
    ASSERT_EQ(output.calls.size(), 1U) << output.content;
    EXPECT_EQ(output.calls[0].name, "now");
    EXPECT_EQ(output.calls[0].arguments_json, "{}");
  }
}

TEST(ToolGrammar, SaysWhatItCannotDo) {
  const auto error = [](Calls calls, const Json& tools, const std::string& only) {
    const Result<GrammarSpec> spec =
        tool_grammar(dialect(calls), tools, {.must_call = true, .only = only}, tokenizer());
    return spec ? "no error" : spec.error().message;
  };
  EXPECT_THAT(error(Calls::kNone, kTools, ""), HasSubstr("chat template"));
  EXPECT_THAT(error(Calls::kTagged, Json::array(), ""), HasSubstr("at least one"));
  EXPECT_THAT(error(Calls::kTagged, kTools, "fly"), HasSubstr("\"fly\""));
}

TEST(ToolGrammar, ReasoningMayStandInFront) {
  ReplyDialect thinks = {.calls = Calls::kTagged, .think_begin = "<think>", .think_end = "</think>"};
  const GrammarSpec call =
      *tool_grammar(thinks, kTools, {.must_call = true, .only = "now", .calls_in_parallel = false}, tokenizer());
  const GrammarSpec object = {GrammarSpec::Kind::kJsonSchema, R"({"type": "array", "items": {"const": 5}})"};
  for (const GrammarSpec& spec : {call, object}) {
    thinks.begins_thinking = false;
    const Grammar grammar = *Grammar::compile(tokenizer(), kEnds, 4096, *after_reasoning(thinks, spec));
    thinks.begins_thinking = true;
    const Grammar begun = *Grammar::compile(tokenizer(), kEnds, 4096, *after_reasoning(thinks, spec));
    const auto takes = [](const Grammar& by, const std::string& text) {
      GrammarState state = *GrammarState::begin(by);
      return state.advance(*tokenizer().encode(text)).ok() && state.advance({{4095}}).ok();
    };
    const std::string plain = spec.kind == GrammarSpec::Kind::kJsonSchema
                                  ? "[5, 5]"
                                  : "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    EXPECT_TRUE(takes(grammar, plain));
    EXPECT_TRUE(takes(grammar, "<think>Hm <b> {\n</think>\n\n" + plain));
    EXPECT_FALSE(takes(grammar, "Hm"));
    EXPECT_FALSE(takes(grammar, "<think>Hm</think>\n\nHello"));
    EXPECT_TRUE(takes(begun, "Hm.\n</think>\n" + plain));
    EXPECT_FALSE(takes(begun, "Hm."));
  }
}

TEST(ToolGrammar, OfATask) {
  ReplyDialect thinks = {.calls = Calls::kTagged, .think_begin = "<think>", .think_end = "</think>"};
  const auto text_of = [&](const ReplyTask& task) {
    const std::optional<GrammarSpec> spec = *grammar_of(task, thinks, tokenizer());
    return spec ? spec->text : "none";
  };
  ReplyTask task;
  task.prompt = ChatPrompt{.messages_json = "[]", .variables_json = {}};
  EXPECT_EQ(text_of(task), "none");
  task.grammar = GrammarSpec{GrammarSpec::Kind::kJsonSchema, "{}"};
  EXPECT_EQ(text_of(task), "{}");
  task.thinks = true;
  EXPECT_THAT(text_of(task), HasSubstr("</think>"));
  task.grammar.reset();
  ChatPrompt chat{.messages_json = "[]", .variables_json = Json{{"tools", kTools}}.dump(), .has_tools = true};
  task.prompt = chat;
  EXPECT_EQ(text_of(task), "none");
  chat.tool_use = {.must_call = true, .only = "now"};
  task.prompt = chat;
  EXPECT_THAT(text_of(task),
              testing::AllOf(HasSubstr("</think>"), HasSubstr("now"), testing::Not(HasSubstr("weather"))));
  task.thinks = false;
  EXPECT_THAT(text_of(task), testing::StartsWith("start: call ("));
}

}  // namespace
}  // namespace hotaru::server
