#include "server/reply/tool_grammar.h"
#include "server/request/json_exchange.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace hotaru::server {
namespace {

using Calls = ReplyDialect::Calls;

constexpr int kDeepest = 64;  // of a schema

// A string of the grammar's language.
std::string literal(std::string_view text) { return json_line(Json(text)); }

// References of a schema that is moved to `place` ("#/$defs/x") in another document.
void move_references(Json& schema, const std::string& place, int depth = 0) {  // NOLINT(misc-no-recursion)
  if (depth > kDeepest) return;
  for (auto& [key, value] : schema.items()) {
    if (key == "$ref" && value.is_string() && value.get_ref<const std::string&>().starts_with('#')) {
      value = place + value.get<std::string>().substr(1);
    } else if (value.is_structured() && key != "enum" && key != "const") {
      move_references(value, place, depth + 1);
    }
  }
}

Json parameters_of(const Json& function, const std::string& place) {
  const auto given = function.find("parameters");
  if (given == function.end() || !given->is_object() || given->empty()) {
    return {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
  }
  Json schema = *given;
  schema.erase("$schema");
  schema.erase("$id");
  if (!schema.contains("type")) schema["type"] = "object";
  move_references(schema, place);
  return schema;
}

struct CallSchema {
  Json call;         // of one call
  Json definitions;  // for "$defs" of the document that `call` stands in
};

Result<CallSchema> call_schema(const Json& tools, const std::string& only, const char* arguments_field) {
  CallSchema schema{.call = {{"anyOf", Json::array()}}, .definitions = Json::object()};
  for (const Json& tool : tools) {
    const Json& function = tool.contains("function") ? tool.at("function") : tool;
    const std::string name = function.value("name", "");
    if (name.empty() || (!only.empty() && name != only)) continue;
    const std::string place = fmt::format("tool{}", schema.definitions.size());
    schema.definitions[place] = parameters_of(function, "#/$defs/" + place);
    schema.call["anyOf"].push_back(
        {{"type", "object"},
         {"properties", {{"name", {{"const", name}}}, {arguments_field, {{"$ref", "#/$defs/" + place}}}}},
         {"required", {"name", arguments_field}},
         {"additionalProperties", false}});
  }
  if (!schema.call["anyOf"].empty()) return schema;
  if (only.empty()) return invalid("tools: got none, want at least one that can be called");
  return invalid("tool_choice: got \"{}\", want a tool of the list", only);
}

std::string json_rule(Json schema, const CallSchema& calls) {
  schema["$defs"] = calls.definitions;
  return "%json " + json_line(schema) + "\n";
}

std::string tagged(const CallSchema& schema, bool in_parallel) {
  return fmt::format("start: call{}\ncall: \"<tool_call>\\n\" body \"\\n</tool_call>\"\nbody: ",
                     in_parallel ? " (\"\\n\" call)*" : "") +
         json_rule(schema.call, schema);
}

std::string bare(const CallSchema& schema, bool in_parallel) {
  return fmt::format("start: body{}\nbody: ", in_parallel ? " (\"; \" body)*" : "") + json_rule(schema.call, schema);
}

Result<std::string> mistral(const CallSchema& schema, bool in_parallel, const Tokenizer& tokenizer) {
  Json list = {{"type", "array"}, {"items", schema.call}, {"minItems", 1}};
  if (!in_parallel) list["maxItems"] = 1;
  std::string mark = literal("[TOOL_CALLS] ");
  TRY_ASSIGN(const std::vector<int32_t> special, tokenizer.special_ids());
  const std::optional<int32_t> id = tokenizer.token_to_id("[TOOL_CALLS]");
  if (id && std::binary_search(special.begin(), special.end(), *id)) mark = fmt::format("<[{}]>", *id);
  return "start: " + mark + " body\nbody: " + json_rule(list, schema);
}

// The same as a rule `reply` of a larger grammar.
Result<std::string> reply_rule(const GrammarSpec& spec) {
  constexpr std::string_view kStart = "start: ";
  switch (spec.kind) {
    case GrammarSpec::Kind::kJsonObject:
      return std::string("reply: %json {\"type\": \"object\"}\n");
    case GrammarSpec::Kind::kJsonSchema: {
      TRY_ASSIGN(const Json schema, parse_json(spec.text, "JSON schema"));
      return "reply: %json " + json_line(schema) + "\n";
    }
    case GrammarSpec::Kind::kLark:
      if (spec.text.starts_with(kStart)) return "reply: " + spec.text.substr(kStart.size()) + "\n";
      break;
    case GrammarSpec::Kind::kRegex:
      break;
  }
  return not_supported("a regular expression behind reasoning");
}

}  // namespace

Result<GrammarSpec> tool_grammar(const ReplyDialect& dialect, const Json& tools, const ToolUse& use,
                                 const Tokenizer& tokenizer) {
  if (dialect.calls == Calls::kNone) return not_supported("tools: this model's chat template has none");
  TRY_ASSIGN(const CallSchema schema,
             call_schema(tools, use.only, dialect.calls == Calls::kBareJson ? "parameters" : "arguments"));
  GrammarSpec spec{.kind = GrammarSpec::Kind::kLark, .text = {}};
  if (dialect.calls == Calls::kTagged) {
    spec.text = tagged(schema, use.calls_in_parallel);
  } else if (dialect.calls == Calls::kBareJson) {
    spec.text = bare(schema, use.calls_in_parallel);
  } else {
    TRY_ASSIGN(spec.text, mistral(schema, use.calls_in_parallel, tokenizer));
  }
  return spec;
}

Result<GrammarSpec> after_reasoning(const ReplyDialect& dialect, const GrammarSpec& spec) {
  if (dialect.think_begin.empty()) return spec;
  TRY_ASSIGN(const std::string reply, reply_rule(spec));
  const std::string thought = fmt::format("thought /\\s{{0,4}}/");
  std::string text = dialect.begins_thinking
                         ? fmt::format("start: {} reply\n", thought)
                         : fmt::format("start: ({} {})? reply\n", literal(dialect.think_begin), thought);
  text += fmt::format("thought[suffix={}]: /(?s:.*)/\n", literal(dialect.think_end));
  return GrammarSpec{.kind = GrammarSpec::Kind::kLark, .text = text + reply};
}

Result<std::optional<GrammarSpec>> grammar_of(const ReplyTask& task, const ReplyDialect& dialect,
                                              const Tokenizer& tokenizer) {
  std::optional<GrammarSpec> spec = task.grammar;
  const ChatPrompt* chat = std::get_if<ChatPrompt>(&task.prompt);
  if (chat != nullptr && chat->has_tools && chat->tool_use.must_call) {
    TRY_ASSIGN(const Json variables, parse_json(chat->variables_json, "template variables"));
    TRY_ASSIGN(spec, tool_grammar(dialect, variables.value("tools", Json::array()), chat->tool_use, tokenizer));
  }
  // encode_prompt() tells a model with a grammar not to think where the task does not say; one may do so all the same.
  const bool thinks = dialect.begins_thinking || task.thinks.value_or(!task.grammar);
  if (!spec || chat == nullptr || !thinks) return spec;
  TRY_ASSIGN(spec, after_reasoning(dialect, *spec));
  return spec;
}

}  // namespace hotaru::server
