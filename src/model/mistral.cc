// Mistral: a Llama without biases, and with a sliding window in its first version.
#include "model/family.h"

namespace hotaru {
namespace {

// Up to its window a sliding-window model is a plain one, so the context ends there instead of being refused.
Result<void> read_switches(const Json& json, ModelConfig& config) {
  TRY_ASSIGN(const int64_t window, json_integer(json, "sliding_window", config.max_positions, 1, int64_t{1} << 24));
  if (window < config.max_positions) {
    config.note = fmt::format(
        "positions limited to {} of {}: this model attends through a sliding window, which is "
        "supported up to its first {} tokens",
        window, config.max_positions, window);
    config.max_positions = window;
  }
  return {};
}

}  // namespace

const Family& mistral_family() {
  static constexpr Family kFamily = {.architecture = "MistralForCausalLM",
                                     .model_type = "mistral",
                                     .default_head_width = 0,
                                     .read_switches = read_switches};
  return kFamily;
}

}  // namespace hotaru
