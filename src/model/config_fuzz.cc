// Any text as config.json and as generation_config.json; what is accepted must give a graph that verifies.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hotaru;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = parse_json(text, "config.json");
  if (!json) return 0;
  (void)parse_generation_config(*json, *json, "config.json").ok();
  auto config = parse_model_config(*json, "config.json");
  if (!config) return 0;
  config->layers = 1;  // a thousand layers are legal, but slow
  CHECK(build_graph(*config, "fuzz").ok());
  return 0;
}
