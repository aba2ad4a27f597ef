#include "server/openai/server_sent_events.h"
#include "server/request/json_exchange.h"

#include <fmt/format.h>

namespace hotaru::server {

std::string data_event(const Json& value) { return fmt::format("data: {}\n\n", json_line(value)); }

std::string named_event(std::string_view name, const Json& value) {
  return fmt::format("event: {}\ndata: {}\n\n", name, json_line(value));
}

}  // namespace hotaru::server
