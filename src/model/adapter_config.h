// adapter_config.json of a PEFT LoRA, checked field by field: what Hotaru cannot do is refused by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace hotaru {

struct AdapterConfig {
  int64_t rank = 0;
  double alpha = 0;
  bool is_rank_stabilised = false;  // rsLoRA: alpha / sqrt(r)
  std::string base_model;           // "base_model_name_or_path": what the author called it
  // Names of modules or ends of them; empty where the file has a pattern or exceptions: then the tensors say which.
  std::vector<std::string> target_modules;
  std::optional<std::vector<int64_t>> layers;  // "layers_to_transform"
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;

  // `module` as in "layers.0.self_attn.q_proj".
  [[nodiscard]] bool is_target(std::string_view module, int64_t layer) const;
  [[nodiscard]] int64_t rank_of(std::string_view module) const;
  [[nodiscard]] double scale_of(std::string_view module) const;  // alpha / r
};

Result<AdapterConfig> parse_adapter_config(const Json& json, std::string_view place);

// PEFT's rule for names: the module itself or its end behind a dot. What stands before "layers." does not count.
bool names_module(std::string_view name, std::string_view module);

}  // namespace hotaru
