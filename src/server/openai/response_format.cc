#include "server/openai/response_format.h"

#include <string>

#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

std::optional<GrammarSpec> schema_of(Fields& fields) {
  fields.required_text("name");
  fields.boolean("strict");
  const Json* schema = fields.any("schema");
  if (schema == nullptr) {
    fields.refuse("schema", "missing, want a JSON schema");
    return {};
  }
  if (!schema->is_object() && !schema->is_boolean()) {
    fields.refuse("schema", fmt::format("got {}, want a JSON schema", json_excerpt(*schema)));
    return {};
  }
  return GrammarSpec{GrammarSpec::Kind::kJsonSchema, json_line(*schema)};
}

std::optional<GrammarSpec> read_nested(Fields& format) {
  const Json* object = format.object("json_schema");
  if (object == nullptr) {
    format.refuse("json_schema", "missing, want an object with a name and a schema");
    return {};
  }
  Fields nested(*object, format.path_of("json_schema"));
  auto grammar = schema_of(nested);
  format.take_error(nested);
  return grammar;
}

std::optional<GrammarSpec> read_format(Fields& format, bool is_flat) {
  const std::string type = format.required_text("type");
  if (!format.ok() || type == "text") return {};
  if (type == "json_object") return GrammarSpec{GrammarSpec::Kind::kJsonObject, ""};
  if (type == "json_schema") return is_flat ? schema_of(format) : read_nested(format);
  format.refuse("type", fmt::format("got {}, want text, json_object or json_schema", json_excerpt(Json(type))));
  return {};
}

std::optional<GrammarSpec> read_named(Fields& fields, std::string_view name, bool is_flat) {
  const Json* object = fields.object(name);
  if (object == nullptr) return {};
  Fields format(*object, fields.path_of(name));
  auto grammar = read_format(format, is_flat);
  fields.take_error(format);
  return grammar;
}

}  // namespace

std::optional<GrammarSpec> read_response_format(Fields& fields) { return read_named(fields, "response_format", false); }
std::optional<GrammarSpec> read_text_format(Fields& text) { return read_named(text, "format", true); }

}  // namespace hotaru::server
