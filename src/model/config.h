// config.json and generation_config.json in the spellings of transformers 4 and 5, checked field by field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace hotaru {

enum class RopeType { kDefault, kLinear, kLlama3 };

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000;
  double factor = 1;
  double low_frequency_factor = 1;   // llama3
  double high_frequency_factor = 4;  // llama3
  int64_t original_max_positions = 0;
};

struct ModelConfig {
  std::string architecture;  // "Qwen2ForCausalLM"
  std::string model_type;    // "qwen2"
  int64_t width = 0, ffn_width = 0, layers = 0, query_heads = 0, kv_heads = 0, head_width = 0, vocabulary = 0,
          max_positions = 0;
  float norm_epsilon = 1e-6F;
  bool tied_embeddings = false;
  bool attention_bias = false;  // q, k, v (Qwen2 always; Llama with attention_bias also on o)
  bool output_bias = false;     // o
  bool mlp_bias = false;
  bool head_norm = false;  // Qwen3
  RopeConfig rope;
  std::string note;  // what was read differently from what the file says, for the user; mostly empty
};

struct GenerationConfig {
  bool do_sample = false;  // absent: Hugging Face decodes greedily
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::vector<int32_t> eos_ids;
  std::optional<int32_t> bos_id, pad_id;
};

// Refuses by name what the decoder does not have: other families, activations and rope types, sliding windows, already
// quantised weights, sizes that are not multiples of 32 (hidden, ffn, attention width) or 16 (head width).
Result<ModelConfig> parse_model_config(const Json& json, std::string_view place);
// `fallback` (config.json) supplies eos/bos/pad where generation_config.json is absent or silent.
Result<GenerationConfig> parse_generation_config(const Json& json, const Json& fallback, std::string_view place);

// Inverse frequencies [E/2] in double, scaled as the rope type says (Llama 3: section "rope scaling" of its model
// card).
std::vector<double> rope_inverse_frequencies(const RopeConfig& rope, int64_t head_width);

}  // namespace hotaru
