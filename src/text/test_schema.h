// For tests of grammars: whether a JSON value satisfies a schema (of the keywords that the tests use), and a walk that
// takes allowed tokens by chance.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/result.h"
#include "text/grammar.h"

namespace hotaru::test_data {

inline bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_number_integer() || value.is_number_unsigned();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  return type == "null" && value.is_null();
}

inline size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

inline bool satisfies(const Json& value, const Json& schema);  // NOLINT(misc-no-recursion)

inline bool object_satisfies(const Json& value, const Json& schema) {  // NOLINT(misc-no-recursion)
  for (const Json& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>())) return false;
  }
  const Json properties = schema.value("properties", Json::object());
  return std::all_of(value.items().begin(), value.items().end(), [&](const auto& item) {  // NOLINT(misc-no-recursion)
    if (properties.contains(item.key())) return satisfies(item.value(), properties.at(item.key()));
    return schema.value("additionalProperties", Json(true)) != Json(false);
  });
}

inline bool array_satisfies(const Json& value, const Json& schema) {  // NOLINT(misc-no-recursion)
  if (value.size() < schema.value("minItems", size_t{0})) return false;
  if (value.size() > schema.value("maxItems", value.size())) return false;
  if (!schema.contains("items")) return true;
  return std::all_of(value.begin(), value.end(),  // NOLINTNEXTLINE(misc-no-recursion)
                     [&](const Json& item) { return satisfies(item, schema.at("items")); });
}

inline bool satisfies(const Json& value, const Json& schema) {  // NOLINT(misc-no-recursion)
  if (schema.contains("const")) return value == schema.at("const");
  if (schema.contains("enum")) return std::count(schema.at("enum").begin(), schema.at("enum").end(), value) > 0;
  if (schema.contains("anyOf")) {
    return std::any_of(schema.at("anyOf").begin(), schema.at("anyOf").end(),  // NOLINTNEXTLINE(misc-no-recursion)
                       [&](const Json& option) { return satisfies(value, option); });
  }
  if (schema.contains("type") && !has_type(value, schema.at("type").get<std::string>())) return false;
  if (value.is_object()) return object_satisfies(value, schema);
  if (value.is_array()) return array_satisfies(value, schema);
  if (value.is_string()) {
    const size_t length = characters(value.get<std::string>());
    return length >= schema.value("minLength", size_t{0}) && length <= schema.value("maxLength", length);
  }
  if (!value.is_number()) return true;
  const auto number = value.get<double>();
  return number >= schema.value("minimum", number) && number <= schema.value("maximum", number);
}

inline std::vector<int32_t> ids_of(const std::vector<uint64_t>& words) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < words.size() * 64; i++) {
    if ((words[i / 64] >> (i % 64) & 1) != 0) ids.push_back(static_cast<int32_t>(i));
  }
  return ids;
}

inline std::vector<uint64_t> mask_of(GrammarState& state, int vocabulary) {
  std::vector<uint64_t> words((static_cast<size_t>(vocabulary) + 63) / 64);
  const Result<void> done = state.allowed(words);
  CHECK_EQ(done.ok() ? "" : done.error().message, "");
  return words;
}

// Takes allowed tokens by chance, such as may close something more often, until an end id comes or `most` are taken.
inline std::vector<int32_t> walk(const Grammar& grammar, const Tokenizer& tokenizer, std::span<const int32_t> end_ids,
                                 std::mt19937& random, int most = 2000) {
  GrammarState state = *GrammarState::begin(grammar);
  std::vector<int32_t> taken;
  while (static_cast<int>(taken.size()) < most) {
    std::vector<int32_t> ids = ids_of(mask_of(state, grammar.vocabulary()));
    if (ids.empty()) break;
    if (random() % 2 == 0) {
      std::vector<int32_t> closing;
      std::copy_if(ids.begin(), ids.end(), std::back_inserter(closing), [&](int32_t id) {
        if (std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end()) return true;
        const std::string bytes = *tokenizer.token_bytes(id);
        return bytes.size() == 1 && std::string("\"]},:").find(bytes[0]) != std::string::npos;
      });
      if (!closing.empty()) ids = closing;
    }
    const int32_t id = ids[random() % ids.size()];
    if (!state.advance({&id, 1}).ok()) break;
    taken.push_back(id);
    if (std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end()) break;
  }
  return taken;
}

}  // namespace hotaru::test_data
