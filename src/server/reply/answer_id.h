// What names an answer and its parts: "chatcmpl-4fXk...". Random; not a secret.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hotaru::server {

// The prefix and 24 letters and digits.
std::string new_id(std::string_view prefix);
int64_t unix_seconds();

}  // namespace hotaru::server
