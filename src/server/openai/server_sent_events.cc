#include "server/openai/server_sent_events.h"

#include <fmt/format.h>

namespace hotaru::server {

std::string json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string data_event(const Json& value) { return fmt::format("data: {}\n\n", json_line(value)); }

std::string named_event(std::string_view name, const Json& value) {
  return fmt::format("event: {}\ndata: {}\n\n", name, json_line(value));
}

}  // namespace hotaru::server
