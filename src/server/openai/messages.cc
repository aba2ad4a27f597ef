#include "server/openai/messages.h"

#include <utility>

#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kRoles = "want system, developer, user, assistant or tool";

// One element of a list of content parts.
std::string read_part(Fields& message, std::string_view path, const Json& element) {
  Fields part(element, message.path_of(path));
  const std::string type = part.required_text("type");
  std::string text;
  if (type == "text" || type == "input_text" || type == "output_text") {
    text = part.required_text("text");
  } else if (type == "refusal") {
    text = part.required_text("refusal");
  } else if (part.ok()) {
    part.refuse("type", fmt::format("got {}, want \"text\": Hotaru's models read text only", json_excerpt(Json(type))));
  }
  message.take_error(part);
  return text;
}

void read_calls(Fields& message, TemplateMessages& messages) {
  const Json* calls = message.array("tool_calls");
  for (size_t i = 0; calls != nullptr && i < calls->size() && message.ok(); i++) {
    Fields call((*calls)[i], message.path_of(fmt::format("tool_calls[{}]", i)));
    const std::string id = call.required_text("id");
    call.text("type");
    const Json* object = call.object("function");
    if (object == nullptr) {
      call.refuse("function", "missing, want an object with a name and arguments");
      return message.take_error(call);
    }
    Fields function(*object, call.path_of("function"));
    const std::string name = function.required_text("name");
    Json arguments = read_arguments(function, "arguments");
    call.take_error(function);
    message.take_error(call);
    messages.add_call(id, name, std::move(arguments));
  }
}

void read_assistant(Fields& message, TemplateMessages& messages) {
  // Ollama and vLLM call it `reasoning`, DeepSeek `reasoning_content`.
  for (const std::string_view name : {"reasoning", "reasoning_content"}) {
    if (auto text = message.text(name); text && !text->empty()) messages.add_reasoning(*text);
  }
  std::string content = read_content(message, "content");
  if (content.empty()) content = message.text("refusal").value_or("");
  const Json* calls = message.array("tool_calls");
  const bool has_calls = calls != nullptr && !calls->empty();
  if (message.any("content") == nullptr && content.empty() && !has_calls) {
    message.refuse("content", "missing, want text unless there are tool_calls");
  }
  if (!content.empty() || !has_calls) messages.add("assistant", std::move(content));
  read_calls(message, messages);
}

void read_message(Fields& message, TemplateMessages& messages) {
  const std::string role = message.required_text("role");
  if (role == "assistant") return read_assistant(message, messages);
  if (message.any("content") == nullptr) message.refuse("content", "missing, want a string or a list of parts");
  std::string content = read_content(message, "content");
  if (role == "tool") {
    messages.add_tool_result(message.required_text("tool_call_id"), std::move(content));
  } else if (role == "developer" || role == "system") {
    messages.add("system", std::move(content));
  } else if (role == "user") {
    messages.add("user", std::move(content));
  } else {
    message.refuse("role", fmt::format("got {}, {}", json_excerpt(Json(role)), kRoles));
  }
}

}  // namespace

void TemplateMessages::add(std::string_view role, std::string content) {
  Json message;
  message["role"] = role;
  message["content"] = std::move(content);
  if (role == "assistant" && !reasoning_.empty()) message["reasoning_content"] = std::exchange(reasoning_, {});
  messages_.push_back(std::move(message));
}

void TemplateMessages::add_call(const std::string& id, const std::string& name, Json arguments) {
  if (last_role() != "assistant" || !reasoning_.empty()) add("assistant", "");
  Json call;
  call["id"] = number_of(id);
  call["type"] = "function";
  call["function"]["name"] = name;
  call["function"]["arguments"] = std::move(arguments);
  names_[id] = name;
  messages_.back()["tool_calls"].push_back(std::move(call));
}

void TemplateMessages::add_tool_result(const std::string& id, std::string content) {
  add("tool", std::move(content));
  messages_.back()["tool_call_id"] = number_of(id);
  if (const auto name = names_.find(id); name != names_.end()) messages_.back()["name"] = name->second;
}

void TemplateMessages::add_reasoning(std::string_view text) { reasoning_ += text; }

std::string TemplateMessages::number_of(const std::string& id) {
  const auto [entry, is_new] = numbers_.try_emplace(id);
  if (is_new) entry->second = fmt::format("{:09}", numbers_.size());
  return entry->second;
}

std::string_view TemplateMessages::last_role() const {
  if (messages_.empty()) return {};
  return messages_.back()["role"].get_ref<const std::string&>();
}

std::string TemplateMessages::json() const { return json_line(messages_); }

std::string read_content(Fields& message, std::string_view name) {
  const Json* content = message.any(name);
  if (content == nullptr) return {};
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    message.refuse(name, fmt::format("got {}, want a string or a list of parts", json_excerpt(*content)));
    return {};
  }
  std::string text;
  for (size_t i = 0; i < content->size() && message.ok(); i++) {
    if (i > 0) text += '\n';
    text += read_part(message, fmt::format("{}[{}]", name, i), (*content)[i]);
  }
  return text;
}

Json read_arguments(Fields& call, std::string_view name) {
  const std::string text = call.text(name).value_or("");
  if (text.empty()) return Json::object();
  auto arguments = parse_json(text, name);
  if (arguments && arguments->is_object()) return *std::move(arguments);
  call.refuse(name, fmt::format("got {}, want a string that holds a JSON object", json_excerpt(Json(text))));
  return Json::object();
}

TemplateMessages read_messages(Fields& fields) {
  TemplateMessages messages;
  const Json* list = fields.array("messages");
  if (list == nullptr) {
    fields.refuse("messages", "missing, want a list of messages");
    return messages;
  }
  if (list->empty()) fields.refuse("messages", "got [], want at least one message");
  for (size_t i = 0; i < list->size() && fields.ok(); i++) {
    Fields message((*list)[i], fmt::format("messages[{}]", i));
    if (message.ok()) read_message(message, messages);
    fields.take_error(message);
  }
  return messages;
}

}  // namespace hotaru::server
