#include "server/ollama/reply_request.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/ollama/messages.h"
#include "server/reply/model_options.h"

namespace hotaru::server {
namespace {

constexpr int kMostTopLogprobs = 20;

void read_format(Fields& fields, ReplyTask& task) {
  const Json* format = fields.any("format");
  if (format == nullptr) return;
  if (format->is_object()) {
    task.grammar = GrammarSpec{GrammarSpec::Kind::kJsonSchema, format->dump()};
  } else if (*format == "json") {
    task.grammar = GrammarSpec{GrammarSpec::Kind::kJsonObject, ""};
  } else if (!format->is_string() || !format->get_ref<const std::string&>().empty()) {
    fields.refuse("format", fmt::format("got {}, want \"json\" or a JSON schema", json_excerpt(*format)));
  }
}

void read_think(Fields& fields, ReplyTask& task) {
  const Json* think = fields.any("think");
  if (think == nullptr) return;
  const bool is_level = *think == "low" || *think == "medium" || *think == "high" || *think == "max";
  if (!think->is_boolean() && !is_level) {
    fields.refuse("think", fmt::format("got {}, want true, false, \"low\", \"medium\", \"high\" or \"max\"",
                                       json_excerpt(*think)));
    return;
  }
  task.thinks = is_level || think->get<bool>();
  task.must_think = *task.thinks;
}

void read_options(Fields& fields, ReplyTask& task) {
  const Json* options = fields.object("options");
  if (options == nullptr) return;
  Fields nested(*options, "options");
  read_model_options(nested, task);
  fields.take_error(nested);
}

// Of every reply, whatever the prompt and wherever the model comes from.
void read_reply_fields(Fields& fields, OllamaReplyRequest& request) {
  ReplyTask& task = request.task;
  request.streams = fields.boolean("stream").value_or(true);
  read_format(fields, task);
  read_think(fields, task);
  const auto top = static_cast<int>(fields.integer("top_logprobs", 0, kMostTopLogprobs).value_or(0));
  if (fields.boolean("logprobs").value_or(false)) task.top_logprobs = top;
  if (fields.boolean("shift").value_or(false)) task.when_full = WhenFull::kShift;
  fields.boolean("truncate");  // a prompt that is too long is refused, never cut
}

std::vector<int32_t> read_ids(Fields& fields, std::string_view name) {
  std::vector<int32_t> ids;
  const Json* list = fields.array(name);
  if (list == nullptr) return ids;
  for (const Json& value : *list) {
    const std::string place = fmt::format("{}[{}]", name, ids.size());
    const auto id = json_integer_value(value, place, 0, std::numeric_limits<int32_t>::max());
    if (!id) {
      fields.refuse(place, fmt::format("got {}, want a token id", json_excerpt(value)));
      return {};
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

Json message(std::string_view role, const std::string& content) { return {{"role", role}, {"content", content}}; }

// What this server cannot do is said, not passed over.
void refuse_media(Fields& fields) {
  if (!fields.text("suffix").value_or("").empty()) {
    fields.refuse("suffix", "is not supported: no text is filled in between two others");
  }
  if (const Json* images = fields.array("images"); images != nullptr && !images->empty()) {
    fields.refuse("images", "are not supported: the model takes text only");
  }
}

}  // namespace

void read_model_fields(Fields& fields, ReplyTask& task) {
  task.model = fields.required_text("model");
  if (task.model.empty()) fields.refuse("model", "is empty, want the name of a model");
  if (const Json* keep_alive = fields.any("keep_alive")) {
    Result<KeepAlive> parsed = parse_keep_alive(*keep_alive);
    if (parsed) {
      task.keep_alive = *parsed;
    } else {
      fields.refuse("keep_alive", parsed.error().message);
    }
  }
  read_options(fields, task);
}

namespace {

void read_model_and_lora(Fields& fields, ReplyTask& task) {
  read_model_fields(fields, task);
  task.lora = fields.text("lora").value_or("");
}

}  // namespace

Result<OllamaReplyRequest> parse_generate(std::string_view body) {
  TRY_ASSIGN(const Json json, Fields::parse_object(body));
  Fields fields(json, "");
  OllamaReplyRequest request;
  ReplyTask& task = request.task;
  read_model_and_lora(fields, task);
  read_reply_fields(fields, request);
  refuse_media(fields);
  const std::string prompt = fields.text("prompt").value_or("");
  const std::string system = fields.text("system").value_or("");
  task.chat_template = fields.text("template").value_or("");
  task.ids_before = read_ids(fields, "context");
  const bool is_raw = fields.boolean("raw").value_or(false);
  if (is_raw && (!system.empty() || !task.chat_template.empty() || !task.ids_before.empty())) {
    fields.refuse("raw", "raw mode does not support template, system, or context");
  }
  if (!fields.ok()) return fields.error();
  request.only_loads = prompt.empty();
  request.wants_context = !is_raw;
  if (is_raw) {
    task.prompt = TextPrompt{prompt};
    return request;
  }
  Json messages = Json::array();
  if (!system.empty()) messages.push_back(message("system", system));
  messages.push_back(message("user", prompt));
  ChatPrompt chat;
  chat.messages_json = messages.dump();
  task.prompt = std::move(chat);
  return request;
}

Result<OllamaReplyRequest> parse_chat(std::string_view body) {
  TRY_ASSIGN(const Json json, Fields::parse_object(body));
  Fields fields(json, "");
  OllamaReplyRequest request;
  read_model_and_lora(fields, request.task);
  read_reply_fields(fields, request);
  const Json messages = read_messages(fields);
  const Json tools = read_tools(fields);
  if (!fields.ok()) return fields.error();
  request.only_loads = messages.empty();
  ChatPrompt chat;
  chat.messages_json = messages.dump();
  chat.has_tools = !tools.empty();
  if (chat.has_tools) chat.variables_json = Json{{"tools", tools}}.dump();
  // The beginning of the reply, to be gone on with.
  chat.continues_last = !messages.empty() && messages.back()["role"] == "assistant" &&
                        !messages.back().contains("tool_calls") &&
                        !messages.back()["content"].get_ref<const std::string&>().empty();
  request.task.prompt = std::move(chat);
  return request;
}

Result<ContextReplyRequest> parse_chat_in_context(std::string_view body) {
  TRY_ASSIGN(const Json json, Fields::parse_object(body));
  Fields fields(json, "");
  ContextReplyRequest request;
  read_options(fields, request.reply.task);
  read_reply_fields(fields, request.reply);
  request.messages = read_messages(fields);
  for (const char* name : {"tools", "think"}) {
    if (const Json* value = fields.any(name); value != nullptr && !value->empty()) {
      fields.refuse(name, "is not supported in a context");
    }
  }
  if (!fields.ok()) return fields.error();
  return request;
}

}  // namespace hotaru::server
