#include "server/reply/call_json.h"

#include <array>
#include <string>
#include <utility>

#include "base/json.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Some models write the arguments as a string that holds the object.
std::optional<std::string> object_of(const Json& value) {
  if (value.is_object()) return json_line(value);
  if (value.is_null()) return "{}";
  if (!value.is_string()) return std::nullopt;
  const Result<Json> inner = parse_json(value.get_ref<const std::string&>(), "arguments");
  if (!inner || !inner->is_object()) return std::nullopt;
  return json_line(*inner);
}

std::optional<ToolCall> read_call(const Json& value) {
  if (!value.is_object()) return std::nullopt;
  if (value.contains("function") && value.at("function").is_object()) return read_call(value.at("function"));
  const auto name = value.find("name");
  if (name == value.end() || !name->is_string() || name->get_ref<const std::string&>().empty()) return std::nullopt;
  for (const char* field : {"arguments", "parameters"}) {
    if (!value.contains(field)) continue;
    std::optional<std::string> arguments = object_of(value.at(field));
    if (!arguments) return std::nullopt;
    return ToolCall{name->get<std::string>(), *std::move(arguments)};
  }
  return std::nullopt;
}

}  // namespace

std::optional<size_t> json_end(std::string_view text) {
  size_t depth = 0;
  bool is_string = false;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    if (is_string) {
      if (c == '\\') i++;
      if (c == '"') is_string = false;
    } else if (c == '"') {
      is_string = true;
    } else if (c == '{' || c == '[') {
      depth++;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
  }
  return std::nullopt;
}

std::optional<std::vector<ToolCall>> read_calls(std::string_view json) {
  const Result<Json> value = parse_json(json, "call");
  if (!value) return std::nullopt;
  std::vector<ToolCall> calls;
  const Json list = value->is_array() ? *value : Json::array({*value});
  for (const Json& item : list) {
    std::optional<ToolCall> call = read_call(item);
    if (!call) return std::nullopt;
    calls.push_back(*std::move(call));
  }
  if (calls.empty()) return std::nullopt;
  return calls;
}

bool may_begin_call(std::string_view text) {
  if (!text.starts_with('{')) return false;
  text.remove_prefix(1);
  const size_t key = text.find_first_not_of(kSpace);
  if (key == std::string_view::npos) return true;
  text.remove_prefix(key);
  for (const std::string_view name : {"\"name\"", "\"type\"", "\"function\"", "\"parameters\"", "\"arguments\""}) {
    if (text.starts_with(name) || name.starts_with(text)) return true;
  }
  return false;
}

}  // namespace hotaru::server
