// Qwen3 (dense): queries and keys are normed per head, and the head width is a number of its own.
#include "model/family.h"

namespace hotaru {
namespace {

Result<void> read_switches(const Json& json, ModelConfig& config) {
  config.head_norm = true;
  TRY_ASSIGN(config.attention_bias, json_bool(json, "attention_bias", false));
  config.output_bias = config.attention_bias;
  return refuse_sliding_window(json, "use_sliding_window");
}

}  // namespace

const Family& qwen3_family() {
  static constexpr Family kFamily = {.architecture = "Qwen3ForCausalLM",
                                     .model_type = "qwen3",
                                     .default_head_width = 128,
                                     .read_switches = read_switches};
  return kFamily;
}

}  // namespace hotaru
