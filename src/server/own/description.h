// For tests: an answer held against docs/openapi.json.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/json.h"

namespace hotaru::server {

// Only what this file of the description uses: references, objects, lists, simple types.
inline void expect_fits(const Json& value, Json schema, const Json& description, const std::string& place) {
  if (schema.contains("$ref")) {
    schema = description.at(Json::json_pointer(schema["$ref"].get<std::string>().substr(1)));
  }
  std::set<std::string> types;
  if (schema["type"].is_array()) types = schema["type"].get<std::set<std::string>>();
  if (schema["type"].is_string()) types = {schema["type"].get<std::string>()};
  const char* type = value.is_object()           ? "object"
                     : value.is_array()          ? "array"
                     : value.is_string()         ? "string"
                     : value.is_boolean()        ? "boolean"
                     : value.is_number_integer() ? "integer"
                     : value.is_null()           ? "null"
                                                 : "number";
  EXPECT_EQ(types.count(type), 1U) << place << " is " << type;
  if (value.is_object() && schema.contains("properties")) {
    for (const auto& [name, property] : value.items()) {
      ASSERT_TRUE(schema["properties"].contains(name)) << place << "." << name << " is not described";
      expect_fits(property, schema["properties"][name], description, place + "." + name);
    }
    for (const Json& name : schema["required"]) EXPECT_TRUE(value.contains(name)) << place << " lacks " << name;
  }
  if (value.is_array()) {
    for (const Json& element : value) expect_fits(element, schema["items"], description, place + "[]");
  }
}

// The schema of what this operation answers.
inline Json answer_schema(Json description, const std::string& path, const std::string& method,
                          const std::string& status) {
  Json response = description["paths"][path][method]["responses"][status];
  if (response.contains("$ref")) {
    response = description.at(Json::json_pointer(response["$ref"].get<std::string>().substr(1)));
  }
  return response["content"]["application/json"]["schema"];
}

}  // namespace hotaru::server
