#include "server/openai/responses_request.h"

#include <utility>

#include "server/openai/chat_request.h"
#include "server/openai/messages.h"
#include "server/openai/response_format.h"
#include "server/openai/sampling_fields.h"
#include "server/openai/tools.h"

namespace hotaru::server {
namespace {

// A text of "summary" or "content": [{"text": "..."}].
std::string read_texts(Fields& item, std::string_view name) {
  const Json* list = item.array(name);
  std::string text;
  for (size_t i = 0; list != nullptr && i < list->size() && item.ok(); i++) {
    Fields part((*list)[i], item.path_of(fmt::format("{}[{}]", name, i)));
    part.text("type");
    text += part.required_text("text");
    item.take_error(part);
  }
  return text;
}

void read_message_item(Fields& item, TemplateMessages& messages) {
  const std::string role = item.required_text("role");
  if (item.any("content") == nullptr) item.refuse("content", "missing, want a string or a list of parts");
  std::string content = read_content(item, "content");
  if (role == "developer" || role == "system") {
    messages.add("system", std::move(content));
  } else if (role == "user" || role == "assistant") {
    messages.add(role, std::move(content));
  } else {
    item.refuse("role", fmt::format("got {}, want user, assistant, system or developer", json_excerpt(Json(role))));
  }
}

void read_item(Fields& item, TemplateMessages& messages) {
  const std::string type = item.text("type").value_or("message");
  if (type == "message") {
    read_message_item(item, messages);
  } else if (type == "function_call") {
    const std::string id = item.required_text("call_id");
    const std::string name = item.required_text("name");
    messages.add_call(id, name, read_arguments(item, "arguments"));
  } else if (type == "function_call_output") {
    if (item.any("output") == nullptr) item.refuse("output", "missing, want a string or a list of parts");
    messages.add_tool_result(item.required_text("call_id"), read_content(item, "output"));
  } else if (type == "reasoning") {
    const std::string text = read_texts(item, "content");
    messages.add_reasoning(text.empty() ? read_texts(item, "summary") : text);
  } else {
    item.refuse("type", fmt::format("got {}, want message, function_call, function_call_output or reasoning",
                                    json_excerpt(Json(type))));
  }
}

void read_input(Fields& fields, TemplateMessages& messages) {
  const Json* input = fields.any("input");
  if (input != nullptr && input->is_string()) return messages.add("user", input->get<std::string>());
  if (input == nullptr || !input->is_array() || input->empty()) {
    const std::string found = input == nullptr ? "missing" : "got " + json_excerpt(*input);
    return fields.refuse("input", found + ", want a string or a list of items");
  }
  for (size_t i = 0; i < input->size() && fields.ok(); i++) {
    Fields item((*input)[i], fmt::format("input[{}]", i));
    if (item.ok()) read_item(item, messages);
    fields.take_error(item);
  }
}

// Where an earlier response or more than text would be needed.
void refuse_what_is_kept(Fields& fields) {
  for (const std::string_view name : {"previous_response_id", "conversation", "prompt"}) {
    if (fields.any(name) != nullptr) fields.refuse(name, "no response is kept here: want the whole chat in 'input'");
  }
  if (fields.boolean("background").value_or(false)) fields.refuse("background", "no response is kept here");
  if (fields.integer("top_logprobs", 0, 20).value_or(0) > 0) {
    fields.refuse("top_logprobs", "want 0: log-probabilities are in /v1/chat/completions");
  }
}

// The request's value, or what holds without one.
void repeat(Fields& fields, std::string_view name, const Json& otherwise, Json& echoed) {
  const Json* value = fields.any(name);
  echoed[name] = value != nullptr ? *value : otherwise;
}

Json echoed_of(Fields& fields) {
  Json echoed;
  repeat(fields, "instructions", nullptr, echoed);
  repeat(fields, "max_output_tokens", nullptr, echoed);
  repeat(fields, "metadata", Json::object(), echoed);
  repeat(fields, "parallel_tool_calls", true, echoed);
  repeat(fields, "reasoning", {{"effort", nullptr}, {"summary", nullptr}}, echoed);
  repeat(fields, "temperature", 1.0, echoed);
  repeat(fields, "text", {{"format", {{"type", "text"}}}}, echoed);
  repeat(fields, "tool_choice", "auto", echoed);
  repeat(fields, "tools", Json::array(), echoed);
  repeat(fields, "top_p", 1.0, echoed);
  repeat(fields, "truncation", "disabled", echoed);
  return echoed;
}

}  // namespace

ResponsesRequest parse_responses_request(Fields& fields) {
  ResponsesRequest request;
  ReplyTask& task = request.task;
  read_common_sampling(fields, task);
  read_max_tokens(fields, {"max_output_tokens"}, task);
  refuse_what_is_kept(fields);
  request.streams = fields.boolean("stream").value_or(false);
  fields.object("metadata");
  if (const auto truncation = fields.text("truncation"); truncation == "auto") {
    task.when_full = WhenFull::kShift;
  } else if (truncation && *truncation != "disabled") {
    fields.refuse("truncation", fmt::format("got {}, want auto or disabled", json_excerpt(Json(*truncation))));
  }
  if (const Json* object = fields.object("reasoning")) {
    Fields reasoning(*object, "reasoning");
    task.thinks = read_effort(reasoning, "effort");
    fields.take_error(reasoning);
  }
  if (const Json* object = fields.object("text")) {
    Fields text(*object, "text");
    task.grammar = read_text_format(text);
    fields.take_error(text);
  }
  const RequestedTools tools = read_flat_tools(fields);
  TemplateMessages messages;
  if (auto instructions = fields.text("instructions"); instructions && !instructions->empty()) {
    messages.add("system", *std::move(instructions));
  }
  read_input(fields, messages);
  if (!fields.ok()) return request;
  set_chat_prompt(fields, messages.json(), tools, task);
  request.echoed = echoed_of(fields);
  return request;
}

}  // namespace hotaru::server
