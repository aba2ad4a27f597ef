// What `hotaru serve` is told by its options, the environment and a file of keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hotaru::cli {

struct ServerPlace {
  std::string host = "127.0.0.1";
  uint16_t port = 11434;
};

// "0.0.0.0", "localhost:8080", ":8080", "[::1]:8080", "http://localhost:8080" over `fallback`: HOTARU_HOST, as
// OLLAMA_HOST is written.
Result<ServerPlace> parse_server_place(std::string_view text, const ServerPlace& fallback);

// "https://a.example, app://*": HOTARU_ORIGINS.
std::vector<std::string> parse_origins(std::string_view text);

// One key a line; empty lines and those that begin with '#' are none. A file without a key is an error: it would open
// the server to everyone.
Result<std::vector<std::string>> read_api_keys(const std::string& path);

}  // namespace hotaru::cli
