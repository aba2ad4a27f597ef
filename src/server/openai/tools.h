// The tools of a request and how they are to be used, in the words of none of the APIs.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

struct RequestedTools {
  Json tools = Json::array();  // as templates know them: {"type": "function", "function": {"name", ...}}
  bool are_off = false;        // the reply holds no calls
  ToolUse use;
};

// A chat completion's tools, tool_choice, parallel_tool_calls.
RequestedTools read_tools(Fields& fields);
// The same of a response: a tool's name and parameters are not nested in `function`.
RequestedTools read_flat_tools(Fields& fields);
// One tool; `parameters` is a JSON schema.
void add_tool(Fields& tool, std::string_view schema_field, RequestedTools& tools);
// Refuses a choice that the tools do not offer.
void check_tool_choice(Fields& fields, const RequestedTools& tools);

}  // namespace hotaru::server
