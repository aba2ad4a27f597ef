// Times as Ollama writes them.
#pragma once

#include <chrono>
#include <string>

namespace hotaru::server {

// RFC 3339 in UTC with nanoseconds: "2026-11-25T23:13:19.123456789Z".
std::string rfc3339(std::chrono::system_clock::time_point time);

}  // namespace hotaru::server
