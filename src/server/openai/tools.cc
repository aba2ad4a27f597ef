#include "server/openai/tools.h"

#include <algorithm>
#include <utility>

namespace hotaru::server {
namespace {

bool has_tool(const RequestedTools& tools, std::string_view name) {
  return std::ranges::any_of(tools.tools, [&](const Json& tool) { return tool["function"]["name"] == name; });
}

void read_list(Fields& fields, bool is_flat, RequestedTools& tools) {
  const Json* list = fields.array("tools");
  for (size_t i = 0; list != nullptr && i < list->size() && fields.ok(); i++) {
    Fields tool((*list)[i], fmt::format("tools[{}]", i));
    const std::string type = tool.required_text("type");
    if (tool.ok() && type != "function") {
      tool.refuse("type", fmt::format("got {}, want \"function\"", json_excerpt(Json(type))));
    }
    const Json* function = is_flat ? nullptr : tool.object("function");
    if (is_flat) {
      add_tool(tool, "parameters", tools);
    } else if (function == nullptr) {
      tool.refuse("function", "missing, want an object with a name");
    } else {
      Fields inner(*function, tool.path_of("function"));
      add_tool(inner, "parameters", tools);
      tool.take_error(inner);
    }
    fields.take_error(tool);
  }
}

void read_choice_text(Fields& fields, const std::string& choice, RequestedTools& tools) {
  if (choice == "none") {
    tools.are_off = true;
  } else if (choice == "required") {
    tools.use.must_call = true;
  } else if (choice != "auto") {
    fields.refuse("tool_choice",
                  fmt::format("got {}, want none, auto, required or a function's name", json_excerpt(Json(choice))));
  }
}

void read_choice(Fields& fields, bool is_flat, RequestedTools& tools) {
  const Json* choice = fields.any("tool_choice");
  if (choice == nullptr) return;
  if (choice->is_string()) return read_choice_text(fields, choice->get<std::string>(), tools);
  if (!choice->is_object()) {
    return fields.refuse("tool_choice", fmt::format("got {}, want a string or an object", json_excerpt(*choice)));
  }
  Fields object(*choice, "tool_choice");
  if (const std::string type = object.required_text("type"); object.ok() && type != "function") {
    object.refuse("type", fmt::format("got {}, want \"function\"", json_excerpt(Json(type))));
  }
  tools.use.must_call = true;
  const Json* function = is_flat ? choice : object.object("function");
  if (function == nullptr) {
    object.refuse("function", "missing, want an object with a name");
  } else {
    Fields named(*function, is_flat ? "tool_choice" : "tool_choice.function");
    tools.use.only = named.required_text("name");
    object.take_error(named);
  }
  fields.take_error(object);
}

RequestedTools read_all(Fields& fields, bool is_flat) {
  RequestedTools tools;
  read_list(fields, is_flat, tools);
  read_choice(fields, is_flat, tools);
  tools.use.calls_in_parallel = fields.boolean("parallel_tool_calls").value_or(true);
  check_tool_choice(fields, tools);
  return tools;
}

}  // namespace

void add_tool(Fields& tool, std::string_view schema_field, RequestedTools& tools) {
  Json made;
  made["type"] = "function";
  Json& function = made["function"];
  function["name"] = tool.required_text("name");
  if (auto description = tool.text("description")) function["description"] = *std::move(description);
  const Json* schema = tool.object(schema_field);
  // Templates of several models read parameters.properties without asking.
  function["parameters"] = schema != nullptr ? *schema : Json{{"type", "object"}, {"properties", Json::object()}};
  tools.tools.push_back(std::move(made));
}

void check_tool_choice(Fields& fields, const RequestedTools& tools) {
  if (!tools.use.only.empty() && !has_tool(tools, tools.use.only)) {
    fields.refuse("tool_choice", fmt::format("there is no tool {}", json_excerpt(Json(tools.use.only))));
  }
  if (tools.use.must_call && tools.tools.empty()) fields.refuse("tool_choice", "wants a call, but there are no tools");
}

RequestedTools read_tools(Fields& fields) { return read_all(fields, false); }
RequestedTools read_flat_tools(Fields& fields) { return read_all(fields, true); }

}  // namespace hotaru::server
