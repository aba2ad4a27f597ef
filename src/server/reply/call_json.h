// Calls of tools as models write them in JSON.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "server/reply/reply_parts.h"

namespace hotaru::server {

// Where the object or array that `text` begins with ends: one behind its last bracket. Nothing: it goes on. Brackets in
// strings do not count; what is between them need not be JSON.
std::optional<size_t> json_end(std::string_view text);

// One call or an array of them: a name, and `arguments` or `parameters`. Nothing: the text is no call.
std::optional<std::vector<ToolCall>> read_calls(std::string_view json);

// Whether {"name": ... may still become of the text.
bool may_begin_call(std::string_view text);

}  // namespace hotaru::server
