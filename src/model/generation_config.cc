// generation_config.json: defaults of sampling and the ids that end a reply.
#include <algorithm>

#include "model/config.h"

namespace hotaru {
namespace {

constexpr int64_t kMaxId = INT32_MAX;
constexpr size_t kMaxEosIds = 64;

// An id, or nothing: absent, null, or the -1 of early Llama files.
Result<std::optional<int32_t>> parse_id(const Json& json, const char* field) {
  TRY_ASSIGN(const int64_t id, json_integer(json, field, -1, -1, kMaxId));
  if (id < 0) return std::optional<int32_t>();
  return std::optional<int32_t>(static_cast<int32_t>(id));
}

Result<std::vector<int32_t>> parse_eos(const Json& json) {
  std::vector<int32_t> ids;
  const auto found = json.find("eos_token_id");
  if (found == json.end() || !found->is_array()) {
    TRY_ASSIGN(const auto id, parse_id(json, "eos_token_id"));
    if (id) ids.push_back(*id);
    return ids;
  }
  if (found->size() > kMaxEosIds) {
    return invalid("'eos_token_id': got {} entries, want at most {}", found->size(), kMaxEosIds);
  }
  for (const Json& entry : *found) {
    const Json one = {{"eos_token_id", entry}};
    TRY_ASSIGN(const int64_t id, json_integer(one, "eos_token_id", 0, kMaxId));
    const auto known = static_cast<int32_t>(id);
    if (std::find(ids.begin(), ids.end(), known) == ids.end()) ids.push_back(known);
  }
  return ids;
}

Result<std::optional<double>> parse_number(const Json& json, const char* field, double low, double high) {
  const auto found = json.find(field);
  if (found == json.end() || found->is_null()) return std::optional<double>();
  TRY_ASSIGN(const double number, json_number(json, field, low, low, high));
  return std::optional<double>(number);
}

Result<GenerationConfig> parse_ids(const Json& json) {
  if (!json.is_object()) return invalid("got {}, want an object", json.type_name());
  GenerationConfig config;
  TRY_ASSIGN(config.eos_ids, parse_eos(json));
  TRY_ASSIGN(config.bos_id, parse_id(json, "bos_token_id"));
  TRY_ASSIGN(config.pad_id, parse_id(json, "pad_token_id"));
  return config;
}

Result<GenerationConfig> parse(const Json& json) {
  TRY_ASSIGN(GenerationConfig config, parse_ids(json));
  TRY_ASSIGN(config.do_sample, json_bool(json, "do_sample", false));
  TRY_ASSIGN(config.temperature, parse_number(json, "temperature", 0, 1000));
  TRY_ASSIGN(config.top_p, parse_number(json, "top_p", 0, 1));
  TRY_ASSIGN(config.min_p, parse_number(json, "min_p", 0, 1));
  TRY_ASSIGN(config.repetition_penalty, parse_number(json, "repetition_penalty", 1e-3, 1000));
  const auto top_k = json.find("top_k");
  if (top_k != json.end() && !top_k->is_null()) {
    TRY_ASSIGN(const int64_t count, json_integer(json, "top_k", -1, kMaxId));
    config.top_k = std::max<int64_t>(count, 0);  // 0 and -1 both mean: all
  }
  return config;
}

}  // namespace

Result<GenerationConfig> parse_generation_config(const Json& json, const Json& fallback, std::string_view place) {
  auto parsed = parse(json);
  if (!parsed) return at(place, std::move(parsed).error());
  auto model = parse_ids(fallback);
  if (!model) return at("config.json", std::move(model).error());
  if (parsed->eos_ids.empty()) parsed->eos_ids = model->eos_ids;
  if (!parsed->bos_id) parsed->bos_id = model->bos_id;
  if (!parsed->pad_id) parsed->pad_id = model->pad_id;
  return parsed;
}

}  // namespace hotaru
