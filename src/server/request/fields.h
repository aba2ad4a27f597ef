// Reading a request's JSON: null is as absent for every optional field, unknown fields are ignored, a wrong type or a
// value out of range is an error that names the field by its whole path: "'options.top_k': got \"many\", want an
// integer in [0, 2147483647]".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace hotaru::server {

// An object of a request, with its place in it. Reads typed fields; the first error sticks, so that a parser reads all
// its fields and asks once.
class Fields {
 public:
  // What is no object is an error of its own: "'messages[2]': got 5, want an object". `object` outlives this.
  Fields(const Json& object, std::string path);
  // Body to JSON object; errors name the line.
  static Result<Json> parse_object(std::string_view body);

  std::optional<bool> boolean(std::string_view name);
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<double> number(std::string_view name, double low, double high);
  std::optional<std::string> text(std::string_view name);
  // A string or a list of strings.
  std::optional<std::vector<std::string>> texts(std::string_view name);
  // Present and not null.
  const Json* any(std::string_view name);
  const Json* object(std::string_view name);
  const Json* array(std::string_view name);
  // The same, but the field must be there.
  std::string required_text(std::string_view name);

  // Notes an error of the caller's about a field.
  void refuse(std::string_view name, std::string_view found_and_wanted);
  [[nodiscard]] std::string path_of(std::string_view name) const;

  [[nodiscard]] bool ok() const { return !error_; }
  [[nodiscard]] const Error& error() const { return *error_; }
  [[nodiscard]] const std::string& bad_field() const { return bad_field_; }  // for OpenAI's `param`
  // Takes over the error of a nested object's fields.
  void take_error(const Fields& nested);

 private:
  void refuse_type(std::string_view name, const Json& value, std::string_view wanted);

  const Json* object_;
  std::string path_;  // "" at the top, "options", "messages[2]"
  std::optional<Error> error_;
  std::string bad_field_;
};

}  // namespace hotaru::server
