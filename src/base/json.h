// JSON from files and requests: parse with a place in the message, and typed access that names the field.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.h"

namespace hotaru {

using Json = nlohmann::ordered_json;

// Parses text; errors name `place` and the line. Depth is limited to 64 (hostile nesting); duplicate keys: the last
// wins.
Result<Json> parse_json(std::string_view text, std::string_view place);

// Typed fields. Absent or null gives `fallback`; a wrong type or a value out of [low, high] is an error that names the
// field, what was found and what is wanted: "config.json 'hidden_size': got \"abc\", want an integer in [32, 65536]".
Result<int64_t> json_integer(const Json& object, std::string_view field, int64_t fallback, int64_t low, int64_t high);
Result<double> json_number(const Json& object, std::string_view field, double fallback, double low, double high);
Result<bool> json_bool(const Json& object, std::string_view field, bool fallback);
Result<std::string> json_string(const Json& object, std::string_view field, std::string_view fallback);
// The same, but the field must be there.
Result<int64_t> json_integer(const Json& object, std::string_view field, int64_t low, int64_t high);
// A value that is at hand already; `field` names it in the error.
Result<int64_t> json_integer_value(const Json& value, std::string_view field, int64_t low, int64_t high);
// A value as messages quote it: one line, ASCII, cut after 40 characters.
std::string json_excerpt(const Json& value);

}  // namespace hotaru
