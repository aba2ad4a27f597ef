#include "server/ollama/messages.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <string>

namespace hotaru::server {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

Json read_call(Fields& call) {
  Json result;
  result["type"] = "function";
  if (const auto id = call.text("id")) result["id"] = *id;
  const Json* function = call.object("function");
  if (function == nullptr) {
    call.refuse("function", "missing, want an object");
    return result;
  }
  Fields fields(*function, call.path_of("function"));
  result["function"]["name"] = fields.required_text("name");
  const Json* arguments = fields.object("arguments");
  result["function"]["arguments"] = arguments != nullptr ? *arguments : Json::object();
  fields.integer("index", 0, std::numeric_limits<int>::max());
  call.take_error(fields);
  return result;
}

// Calls `read(element's fields)` for each; the first error goes to `fields`.
template <typename Read>
Json read_list(Fields& fields, std::string_view name, const Read& read) {
  Json results = Json::array();
  const Json* list = fields.array(name);
  if (list == nullptr) return results;
  for (const Json& element : *list) {
    Fields nested(element, fmt::format("{}[{}]", fields.path_of(name), results.size()));
    results.push_back(read(nested));
    fields.take_error(nested);
  }
  return results;
}

Json read_message(Fields& fields) {
  Json message;
  const std::string role = lower(fields.required_text("role"));
  message["role"] = role;
  if (role.empty()) fields.refuse("role", "is empty, want \"system\", \"user\", \"assistant\" or \"tool\"");
  message["content"] = fields.text("content").value_or("");
  if (const auto thinking = fields.text("thinking"); thinking && !thinking->empty()) {
    message["reasoning_content"] = *thinking;
  }
  if (const Json* images = fields.array("images"); images != nullptr && !images->empty()) {
    fields.refuse("images", "are not supported: the model takes text only");
  }
  Json calls = read_list(fields, "tool_calls", read_call);
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  if (const auto name = fields.text("tool_name"); name && !name->empty()) message["name"] = *name;
  if (const auto id = fields.text("tool_call_id"); id && !id->empty()) message["tool_call_id"] = *id;
  return message;
}

}  // namespace

Json read_messages(Fields& request) { return read_list(request, "messages", read_message); }

Json read_tools(Fields& request) {
  Json tools = read_list(request, "tools", [](Fields& tool) {
    const std::string type = tool.text("type").value_or("function");
    if (type != "function") tool.refuse("type", "want \"function\"");
    const Json* function = tool.object("function");
    if (function == nullptr) {
      tool.refuse("function", "missing, want an object");
      return Json();
    }
    Fields fields(*function, tool.path_of("function"));
    fields.required_text("name");
    fields.text("description");
    fields.object("parameters");
    tool.take_error(fields);
    return Json{{"type", "function"}, {"function", *function}};
  });
  return tools;
}

}  // namespace hotaru::server
