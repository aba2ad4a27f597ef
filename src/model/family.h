// What tells one architecture family from another. A family is one file and one line in families.cc; the decoder that
// they share is decoder.cc.
#pragma once

#include <span>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "model/config.h"

namespace hotaru {

struct Family {
  std::string_view architecture;   // config.json's "architectures"
  std::string_view model_type;     // config.json's "model_type"
  int64_t default_head_width = 0;  // without "head_dim"; 0: hidden_size / num_attention_heads
  // Sets the switches of the shared decoder and refuses what this family may ask for and the decoder does not have.
  Result<void> (*read_switches)(const Json& json, ModelConfig& config) = nullptr;
};

const Family& llama_family();    // llama.cc: Llama 1 to 3.2
const Family& mistral_family();  // mistral.cc
const Family& qwen2_family();    // qwen2.cc: Qwen2, Qwen2.5
const Family& qwen3_family();    // qwen3.cc, dense

std::span<const Family* const> families();
// By "architectures" (one entry), or by "model_type" where that is all there is. Unknown: kNotSupported, by name.
Result<const Family*> find_family(const Json& json);

// The file asks for a sliding window in some layers: refused, `field` named.
Result<void> refuse_sliding_window(const Json& json, std::string_view field);

}  // namespace hotaru
