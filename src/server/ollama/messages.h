// The messages and tools of /api/chat in the form that chat templates know (Hugging Face's).
#pragma once

#include "base/json.h"
#include "server/request/fields.h"

namespace hotaru::server {

// "messages": role, content, thinking, tool_calls, tool_name, tool_call_id; images are refused. Empty: there are none.
Json read_messages(Fields& request);
// "tools": functions.
Json read_tools(Fields& request);

}  // namespace hotaru::server
