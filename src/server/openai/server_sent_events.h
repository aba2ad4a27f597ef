// Server-sent events as OpenAI's and Anthropic's clients read them.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace hotaru::server {

inline constexpr std::string_view kEventStream = "text/event-stream";

// "data: {...}\n\n"
std::string data_event(const Json& value);
// "event: NAME\ndata: {...}\n\n"
std::string named_event(std::string_view name, const Json& value);

}  // namespace hotaru::server
