#include "model/adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace hotaru {
namespace {

constexpr int64_t kMaxRank = 4096;
constexpr int64_t kMaxLayer = 4096;
constexpr double kMaxAlpha = 1e9;

// Fields of PEFT that change what an adapter computes, or the base weights that it expects. Each must be absent, null,
// false, 0 or empty.
struct Refused {
  const char* field;
  const char* what;
};
constexpr std::array kRefused = {
    Refused{"use_dora", "DoRA"},
    Refused{"modules_to_save", "modules trained and saved as a whole"},
    Refused{"lora_bias", "a trained bias"},
    Refused{"fan_in_fan_out", "transposed weights"},
    Refused{"layer_replication", "replicated layers"},
    Refused{"target_parameters", "adapters of parameters that are no linear layers"},
    Refused{"trainable_token_indices", "trained token embeddings"},
    Refused{"alora_invocation_tokens", "activated LoRA"},
    Refused{"use_qalora", "QALoRA"},
    Refused{"use_bdlora", "block-diagonal LoRA"},
    Refused{"kasa_config", "KaSA"},
    Refused{"velora_config", "VeLoRA"},
    Refused{"arrow_config", "Arrow routing"},
};
// Ways of initialising that also change the base weights: the adapter then belongs to those.
constexpr std::array kChangesBase = {"pissa", "olora", "corda", "loftq", "lora_ga"};

bool is_off(const Json& value) {
  if (value.is_null() || value.empty()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  return value.is_number() && value.get<double>() == 0;
}

Result<void> check_supported(const Json& json) {
  TRY_ASSIGN(const std::string type, json_string(json, "peft_type", ""));
  if (type != "LORA") return not_supported("'peft_type': got \"{}\", want \"LORA\"", type);
  for (const Refused& refused : kRefused) {
    const auto found = json.find(refused.field);
    if (found == json.end() || is_off(*found)) continue;
    return not_supported("'{}': {} is not supported", refused.field, refused.what);
  }
  TRY_ASSIGN(const std::string bias, json_string(json, "bias", "none"));
  if (bias != "none") return not_supported("'bias': got \"{}\", want \"none\": trained biases are not supported", bias);
  const auto start = json.find("init_lora_weights");
  if (start == json.end() || !start->is_string()) return {};
  const auto name = start->get<std::string>();
  for (const char* changes : kChangesBase) {
    if (!name.starts_with(changes)) continue;
    return not_supported("'init_lora_weights': \"{}\" changes the base weights; convert the adapter to plain LoRA",
                         name);
  }
  return {};
}

Result<std::vector<std::string>> read_targets(const Json& json) {
  const auto found = json.find("target_modules");
  const auto excluded = json.find("exclude_modules");
  std::vector<std::string> names;
  if (found == json.end() || found->is_null() || found->is_string()) return names;
  if (!found->is_array()) return invalid("'target_modules': want a list of names or a string");
  for (const Json& name : *found) {
    if (!name.is_string() || name.get_ref<const std::string&>().empty()) {
      return invalid("'target_modules': want a list of names");
    }
    names.push_back(name.get<std::string>());
  }
  if (excluded != json.end() && !is_off(*excluded)) names.clear();
  return names;
}

Result<std::optional<std::vector<int64_t>>> read_layers(const Json& json) {
  const auto found = json.find("layers_to_transform");
  if (found == json.end() || found->is_null()) return std::optional<std::vector<int64_t>>();
  std::vector<int64_t> layers;
  const auto add = [&layers](const Json& value) {
    if (!value.is_number_integer() || value < 0 || value > kMaxLayer) return false;
    layers.push_back(value.get<int64_t>());
    return true;
  };
  const bool good = found->is_array() ? std::ranges::all_of(*found, add) : add(*found);
  if (!good) return invalid("'layers_to_transform': want a layer or a list of layers");
  return std::optional(std::move(layers));
}

// PEFT reads the names as regular expressions; plain ones cover what is found in practice.
Result<void> check_plain(std::string_view field, std::string_view name) {
  const bool plain = !name.empty() && std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
  });
  if (plain) return {};
  return not_supported("'{}': got the pattern \"{}\", want plain names of modules", field, name);
}

template <typename T, typename Read>
Result<std::vector<std::pair<std::string, T>>> read_pattern(const Json& json, const char* field, Read read) {
  std::vector<std::pair<std::string, T>> entries;
  const auto found = json.find(field);
  if (found == json.end() || is_off(*found)) return entries;
  if (!found->is_object()) return invalid("'{}': want an object of names and numbers", field);
  for (const auto& [name, value] : found->items()) {
    TRY(check_plain(field, name));
    auto number = read(*found, name);
    if (!number) return at(fmt::format("'{}'", field), std::move(number).error());
    entries.emplace_back(name, *number);
  }
  return entries;
}

Result<AdapterConfig> parse(const Json& json) {
  if (!json.is_object()) return invalid("got {}, want an object", json.type_name());
  TRY(check_supported(json));
  AdapterConfig config;
  TRY_ASSIGN(config.rank, json_integer(json, "r", 1, kMaxRank));
  TRY_ASSIGN(config.alpha, json_number(json, "lora_alpha", 8, -kMaxAlpha, kMaxAlpha));
  TRY_ASSIGN(config.is_rank_stabilised, json_bool(json, "use_rslora", false));
  TRY_ASSIGN(config.base_model, json_string(json, "base_model_name_or_path", ""));
  TRY_ASSIGN(config.target_modules, read_targets(json));
  TRY_ASSIGN(config.layers, read_layers(json));
  TRY_ASSIGN(config.rank_pattern, read_pattern<int64_t>(json, "rank_pattern", [](const Json& object, const auto& name) {
               return json_integer(object, name, 1, kMaxRank);
             }));
  TRY_ASSIGN(config.alpha_pattern,
             read_pattern<double>(json, "alpha_pattern", [](const Json& object, const auto& name) {
               return json_number(object, name, 0, -kMaxAlpha, kMaxAlpha);
             }));
  return config;
}

// The first entry that names the module, as PEFT takes it.
template <typename T>
T value_of(const std::vector<std::pair<std::string, T>>& pattern, std::string_view module, T otherwise) {
  for (const auto& [name, value] : pattern) {
    if (names_module(name, module)) return value;
  }
  return otherwise;
}

}  // namespace

bool names_module(std::string_view name, std::string_view module) {
  const size_t layers = name.find("layers.");
  if (layers != std::string_view::npos && (layers == 0 || name[layers - 1] == '.')) name.remove_prefix(layers);
  if (!module.ends_with(name)) return false;
  return module.size() == name.size() || module[module.size() - name.size() - 1] == '.';
}

bool AdapterConfig::is_target(std::string_view module, int64_t layer) const {
  if (layers && std::ranges::find(*layers, layer) == layers->end()) return false;
  return std::ranges::any_of(target_modules, [module](const auto& name) { return names_module(name, module); });
}

int64_t AdapterConfig::rank_of(std::string_view module) const { return value_of(rank_pattern, module, rank); }

double AdapterConfig::scale_of(std::string_view module) const {
  const auto r = static_cast<double>(rank_of(module));
  return value_of(alpha_pattern, module, alpha) / (is_rank_stabilised ? std::sqrt(r) : r);
}

Result<AdapterConfig> parse_adapter_config(const Json& json, std::string_view place) {
  auto parsed = parse(json);
  if (!parsed) return at(place, std::move(parsed).error());
  return parsed;
}

}  // namespace hotaru
