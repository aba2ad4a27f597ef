// What is known of a request when its answer has gone out: for the log and for counters.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace hotaru::server {

struct RequestRecord {
  std::string id, method, path;
  std::string route;   // the pattern that matched; empty: none
  std::string client;  // address
  int status = 0;      // 0: none was sent
  uint64_t body_bytes = 0;
  std::chrono::nanoseconds duration{0};  // from the end of the request's head
  bool is_cut = false;                   // the client left, or the server stopped, before the answer was whole
};

enum class LogFormat { kText, kJson };

// One line, with its '\n'.
std::string log_line(const RequestRecord& record, LogFormat format, std::chrono::system_clock::time_point now);

}  // namespace hotaru::server
