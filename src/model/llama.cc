// Llama 1, 2, 3, 3.1, 3.2: biases only where the config asks for them, on all four linears of attention.
#include "model/family.h"

namespace hotaru {
namespace {

Result<void> read_switches(const Json& json, ModelConfig& config) {
  TRY_ASSIGN(config.attention_bias, json_bool(json, "attention_bias", false));
  TRY_ASSIGN(config.mlp_bias, json_bool(json, "mlp_bias", false));
  config.output_bias = config.attention_bias;
  return {};
}

}  // namespace

const Family& llama_family() {
  static constexpr Family kFamily = {.architecture = "LlamaForCausalLM",
                                     .model_type = "llama",
                                     .default_head_width = 0,
                                     .read_switches = read_switches};
  return kFamily;
}

}  // namespace hotaru
