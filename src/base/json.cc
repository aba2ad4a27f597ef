#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace hotaru {
namespace {

constexpr size_t kMaxDepth = 64;
// ordered_json looks a key up by walking the object: without a limit a hostile file costs quadratic time.
constexpr size_t kMaxKeys = 20000;

size_t line_of(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  return static_cast<size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
}

// Walks over brackets and strings only; the parser proper decides what is well-formed.
Result<void> check_limits(std::string_view text, std::string_view place) {
  std::vector<size_t> keys_of_level;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') i++;
      in_string = c != '"';
      continue;
    }
    in_string = c == '"';
    if (c == '{' || c == '[') {
      keys_of_level.push_back(0);
      if (keys_of_level.size() > kMaxDepth) {
        return invalid("{}: line {}: nested deeper than {} levels", place, line_of(text, i), kMaxDepth);
      }
    } else if ((c == '}' || c == ']') && !keys_of_level.empty()) {
      keys_of_level.pop_back();
    } else if (c == ':' && !keys_of_level.empty() && ++keys_of_level.back() > kMaxKeys) {
      return invalid("{}: line {}: an object of more than {} keys", place, line_of(text, i), kMaxKeys);
    }
  }
  return {};
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ..." -> "syntax error while
// ...". The text quotes the input: it is cut and cleaned, because it ends up on terminals and in JSON replies.
std::string parser_message(std::string text) {
  const size_t start = text.find(": ");
  if (start != std::string::npos) text.erase(0, start + 2);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  if (text.size() > 200) text = text.substr(0, 200) + "...";
  return text;
}

// The field's value; null if it is absent or null, or if `object` is not an object.
const Json* find_field(const Json& object, std::string_view field) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(field);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

template <typename T>
Error wrong_field(std::string_view field, const Json& value, std::string_view kind, T low, T high) {
  return invalid("'{}': got {}, want {} in [{}, {}]", field, json_excerpt(value), kind, low, high);
}

}  // namespace

std::string json_excerpt(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 40) + "...";
  return text;
}

Result<Json> parse_json(std::string_view text, std::string_view place) {
  TRY(check_limits(text, place));
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    return invalid("{}: line {}: not JSON: {}", place, line_of(text, error.byte), parser_message(error.what()));
  } catch (const Json::exception& error) {
    return invalid("{}: not JSON: {}", place, parser_message(error.what()));
  }
}

Result<int64_t> json_integer_value(const Json& value, std::string_view field, int64_t low, int64_t high) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: beyond, a float names no single integer
  const Error wrong = wrong_field(field, value, "an integer", low, high);
  int64_t number = 0;
  if (value.is_number_unsigned()) {
    if (value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return wrong;
    number = static_cast<int64_t>(value.get<uint64_t>());
  } else if (value.is_number_integer()) {
    number = value.get<int64_t>();
  } else if (value.is_number_float()) {  // some configurations say 8192.0
    const double real = value.get<double>();
    if (!(std::fabs(real) <= kExact) || real != std::floor(real)) return wrong;
    number = static_cast<int64_t>(real);
  } else {
    return wrong;
  }
  if (number < low || number > high) return wrong;
  return number;
}

Result<int64_t> json_integer(const Json& object, std::string_view field, int64_t fallback, int64_t low, int64_t high) {
  const Json* value = find_field(object, field);
  if (value == nullptr) return fallback;
  return json_integer_value(*value, field, low, high);
}

Result<int64_t> json_integer(const Json& object, std::string_view field, int64_t low, int64_t high) {
  const Json* value = find_field(object, field);
  if (value == nullptr) return invalid("'{}': missing, want an integer in [{}, {}]", field, low, high);
  return json_integer_value(*value, field, low, high);
}

Result<double> json_number(const Json& object, std::string_view field, double fallback, double low, double high) {
  const Json* value = find_field(object, field);
  if (value == nullptr) return fallback;
  if (!value->is_number()) return wrong_field(field, *value, "a number", low, high);
  const double number = value->get<double>();
  if (!(number >= low && number <= high)) return wrong_field(field, *value, "a number", low, high);
  return number;
}

Result<bool> json_bool(const Json& object, std::string_view field, bool fallback) {
  const Json* value = find_field(object, field);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return invalid("'{}': got {}, want true or false", field, json_excerpt(*value));
  return value->get<bool>();
}

Result<std::string> json_string(const Json& object, std::string_view field, std::string_view fallback) {
  const Json* value = find_field(object, field);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) return invalid("'{}': got {}, want a string", field, json_excerpt(*value));
  return value->get<std::string>();
}

}  // namespace hotaru
