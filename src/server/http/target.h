// The target of a request line ("/api/tags?x=1") taken apart and percent-decoded.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "server/http/exchange.h"

namespace hotaru::server {

struct Target {
  std::string path;
  NamedValues query;
};

// Also "http://host/path", which proxies send. An error: bad escapes, bytes that are no UTF-8, control characters.
Result<Target> parse_target(std::string_view text);

}  // namespace hotaru::server
