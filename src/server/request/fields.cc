#include "server/request/fields.h"

#include <cmath>

namespace hotaru::server {

Fields::Fields(const Json& object, std::string path) : object_(&object), path_(std::move(path)) {
  if (object.is_object()) return;
  error_ = invalid("'{}': got {}, want an object", path_, json_excerpt(object));
  bad_field_ = path_;
}

Result<Json> Fields::parse_object(std::string_view body) {
  if (body.empty()) return invalid("request body: empty, want a JSON object");
  TRY_ASSIGN(Json json, parse_json(body, "request body"));
  if (!json.is_object()) return invalid("request body: got {}, want a JSON object", json_excerpt(json));
  return json;
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void Fields::refuse(std::string_view name, std::string_view found_and_wanted) {
  if (error_) return;
  bad_field_ = path_of(name);
  error_ = invalid("'{}': {}", bad_field_, found_and_wanted);
}

void Fields::take_error(const Fields& nested) {
  if (error_ || nested.ok()) return;
  error_ = nested.error();
  bad_field_ = nested.bad_field();
}

const Json* Fields::any(std::string_view name) {
  if (!object_->is_object()) return nullptr;
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

void Fields::refuse_type(std::string_view name, const Json& value, std::string_view wanted) {
  refuse(name, fmt::format("got {}, want {}", json_excerpt(value), wanted));
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (value->is_boolean()) return value->get<bool>();
  refuse_type(name, *value, "true or false");
  return {};
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t low, int64_t high) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  auto number = json_integer_value(*value, path_of(name), low, high);
  if (number) return *number;
  if (!error_) {
    error_ = std::move(number).error();
    bad_field_ = path_of(name);
  }
  return {};
}

std::optional<double> Fields::number(std::string_view name, double low, double high) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (value->is_number()) {
    const double number = value->get<double>();
    if (number >= low && number <= high) return number;
  }
  refuse_type(name, *value,
              std::isinf(low) && std::isinf(high) ? "a number" : fmt::format("a number in [{}, {}]", low, high));
  return {};
}

std::optional<std::string> Fields::text(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  refuse_type(name, *value, "a string");
  return {};
}

std::optional<std::vector<std::string>> Fields::texts(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (value->is_string()) return std::vector{value->get<std::string>()};
  if (!value->is_array()) {
    refuse_type(name, *value, "a string or a list of strings");
    return {};
  }
  std::vector<std::string> texts;
  for (const Json& element : *value) {
    if (!element.is_string()) {
      refuse_type(fmt::format("{}[{}]", name, texts.size()), element, "a string");
      return {};
    }
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

const Json* Fields::object(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr || value->is_object()) return value;
  refuse_type(name, *value, "an object");
  return nullptr;
}

const Json* Fields::array(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr || value->is_array()) return value;
  refuse_type(name, *value, "a list");
  return nullptr;
}

std::string Fields::required_text(std::string_view name) {
  auto value = text(name);
  if (value) return *std::move(value);
  refuse(name, "missing, want a string");
  return {};
}

}  // namespace hotaru::server
