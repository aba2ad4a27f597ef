// Qwen2 and Qwen2.5: biases on q, k and v, always.
#include "model/family.h"

namespace hotaru {
namespace {

Result<void> read_switches(const Json& json, ModelConfig& config) {
  config.attention_bias = true;
  return refuse_sliding_window(json, "use_sliding_window");
}

}  // namespace

const Family& qwen2_family() {
  static constexpr Family kFamily = {.architecture = "Qwen2ForCausalLM",
                                     .model_type = "qwen2",
                                     .default_head_width = 0,
                                     .read_switches = read_switches};
  return kFamily;
}

}  // namespace hotaru
