// Any bytes as adapter_config.json: an error or a config, never more.
#include <cstddef>
#include <cstdint>

#include "model/adapter_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = hotaru::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!json) return 0;
  const auto config = hotaru::parse_adapter_config(*json, "fuzz");
  if (config) {
    (void)config->scale_of("layers.0.self_attn.q_proj");
    (void)config->is_target("layers.0.self_attn.q_proj", 0);
  }
  return 0;
}
