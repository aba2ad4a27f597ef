// The list of families, and how a config names one.
#include <fmt/format.h>

#include <string>

#include "model/family.h"

namespace hotaru {
namespace {

std::string supported_text() {
  std::string text;
  for (const Family* family : families()) text += fmt::format("{}{}", text.empty() ? "" : ", ", family->architecture);
  return text;
}

// The architecture's name; empty if the file has none.
Result<std::string> architecture_of(const Json& json) {
  const auto found = json.find("architectures");
  if (found == json.end() || found->is_null()) return std::string();
  if (!found->is_array() || found->size() != 1 || !found->front().is_string()) {
    return invalid("'architectures': got {} entries or another type, want a list of one name",
                   found->is_array() ? found->size() : 0);
  }
  return found->front().get<std::string>();
}

}  // namespace

std::span<const Family* const> families() {
  static const Family* const all[] = {&llama_family(), &mistral_family(), &qwen2_family(), &qwen3_family()};
  return all;
}

Result<const Family*> find_family(const Json& json) {
  TRY_ASSIGN(const std::string architecture, architecture_of(json));
  TRY_ASSIGN(const std::string model_type, json_string(json, "model_type", ""));
  if (architecture.empty() && model_type.empty()) {
    return invalid("'architectures': missing, want one of {}", supported_text());
  }
  for (const Family* family : families()) {
    const bool fits = architecture.empty() ? model_type == family->model_type : architecture == family->architecture;
    if (!fits) continue;
    if (model_type.empty() || model_type == family->model_type) return family;
    return invalid("'model_type': got \"{}\", want \"{}\" as 'architectures' says {}", model_type, family->model_type,
                   architecture);
  }
  return not_supported("architecture {} is not supported; supported are {}",
                       architecture.empty() ? fmt::format("of model type '{}'", model_type) : architecture,
                       supported_text());
}

Result<void> refuse_sliding_window(const Json& json, std::string_view field) {
  TRY_ASSIGN(const bool used, json_bool(json, field, false));
  if (used) return not_supported("'{}': got true, want false: sliding-window attention is not supported", field);
  return {};
}

}  // namespace hotaru
