// Any bytes as JSON: an error or a document, and typed fields never crash.
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = hotaru::parse_json(text, "fuzz");
  if (!json || !json->is_object()) return 0;
  for (const auto& [field, value] : json->items()) {
    (void)hotaru::json_integer(*json, field, 0, -100, 100).ok();
    (void)hotaru::json_number(*json, field, 0, -100, 100).ok();
    (void)hotaru::json_bool(*json, field, false).ok();
    (void)hotaru::json_string(*json, field, "").ok();
  }
  return 0;
}
