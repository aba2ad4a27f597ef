#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace hotaru {
namespace {

constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;

// The object that holds scaling: rope_parameters, or rope_scaling, or nothing.
Result<const Json*> find_scaling(const Json& json, std::string_view field) {
  const auto found = json.find(field);
  if (found == json.end() || found->is_null()) return nullptr;
  if (!found->is_object()) return invalid("'{}': got {}, want an object", field, found->type_name());
  for (const auto& [name, value] : found->items()) {
    if (value.is_object())
      return not_supported("'{}': got parameters of '{}', want one set for all layers", field, name);
  }
  return &*found;
}

Result<double> required_number(const Json& json, const char* field, double low, double high) {
  if (!json.contains(field)) return invalid("'{}': missing, want a number in [{}, {}]", field, low, high);
  return json_number(json, field, low, low, high);
}

Result<void> check_whole_head(const Json& json) {
  TRY_ASSIGN(const double part, json_number(json, "partial_rotary_factor", 1, 0, 1));
  if (part == 1.0) return {};
  return not_supported("'partial_rotary_factor': got {}, want 1", part);
}

Result<RopeType> parse_type(const Json& scaling) {
  TRY_ASSIGN(const std::string older, json_string(scaling, "type", "default"));
  TRY_ASSIGN(const std::string type, json_string(scaling, "rope_type", older));
  if (type == "default") return RopeType::kDefault;
  if (type == "linear") return RopeType::kLinear;
  if (type == "llama3") return RopeType::kLlama3;
  return not_supported("'rope_type': \"{}\" is not supported; supported are default, linear, llama3", type);
}

Result<void> parse_llama3(const Json& scaling, RopeConfig& rope) {
  TRY_ASSIGN(rope.low_frequency_factor, required_number(scaling, "low_freq_factor", 1e-3, kMaxFactor));
  TRY_ASSIGN(rope.high_frequency_factor, required_number(scaling, "high_freq_factor", 1e-3, kMaxFactor));
  TRY_ASSIGN(rope.original_max_positions,
             json_integer(scaling, "original_max_position_embeddings", 1, int64_t{1} << 24));
  if (rope.high_frequency_factor > rope.low_frequency_factor) return {};
  return invalid("'high_freq_factor': got {}, want more than low_freq_factor {}", rope.high_frequency_factor,
                 rope.low_frequency_factor);
}

Result<RopeConfig> parse_scaling(const Json& scaling, RopeConfig rope) {
  TRY(check_whole_head(scaling));
  TRY_ASSIGN(rope.theta, json_number(scaling, "rope_theta", rope.theta, 1, kMaxTheta));
  TRY_ASSIGN(rope.type, parse_type(scaling));
  if (rope.type == RopeType::kDefault) return rope;
  TRY_ASSIGN(rope.factor, required_number(scaling, "factor", 1, kMaxFactor));
  if (rope.type == RopeType::kLlama3) TRY(parse_llama3(scaling, rope));
  return rope;
}

// Long waves are stretched by `factor`, short ones stay, those between are blended.
double llama3_frequency(const RopeConfig& rope, double frequency) {
  const auto context = static_cast<double>(rope.original_max_positions);
  const double wave_length = 2 * std::numbers::pi / frequency;
  if (wave_length < context / rope.high_frequency_factor) return frequency;
  if (wave_length > context / rope.low_frequency_factor) return frequency / rope.factor;
  const double smooth =
      (context / wave_length - rope.low_frequency_factor) / (rope.high_frequency_factor - rope.low_frequency_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

Result<RopeConfig> parse_rope_config(const Json& json) {
  RopeConfig rope;
  TRY(check_whole_head(json));
  TRY_ASSIGN(rope.theta, json_number(json, "rope_theta", rope.theta, 1, kMaxTheta));
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    TRY_ASSIGN(const Json* scaling, find_scaling(json, field));
    if (scaling == nullptr) continue;
    auto parsed = parse_scaling(*scaling, rope);
    if (!parsed) return at(field, std::move(parsed).error());
    return parsed;
  }
  return rope;
}

std::vector<double> rope_inverse_frequencies(const RopeConfig& rope, int64_t head_width) {
  std::vector<double> frequencies(static_cast<size_t>(head_width / 2));
  for (size_t j = 0; j < frequencies.size(); j++) {
    const double frequency = std::pow(rope.theta, -2.0 * static_cast<double>(j) / static_cast<double>(head_width));
    switch (rope.type) {
      case RopeType::kDefault:
        frequencies[j] = frequency;
        break;
      case RopeType::kLinear:
        frequencies[j] = frequency / rope.factor;
        break;
      case RopeType::kLlama3:
        frequencies[j] = llama3_frequency(rope, frequency);
        break;
    }
  }
  return frequencies;
}

}  // namespace hotaru
