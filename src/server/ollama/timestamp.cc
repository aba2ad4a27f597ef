#include "server/ollama/timestamp.h"

#include <fmt/chrono.h>

#include <ctime>

namespace hotaru::server {

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  std::tm calendar{};
  const std::time_t whole = seconds.count();
  gmtime_r(&whole, &calendar);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", calendar, (since - seconds).count());
}

}  // namespace hotaru::server
