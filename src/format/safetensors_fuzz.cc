// Any bytes as a safetensors file: refused, or every tensor that it lists can be read.
#include "format/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = hotaru::Safetensors::from_bytes(std::as_bytes(std::span(data, size)), "fuzz");
  if (!file) return 0;
  for (const auto& [name, view] : file->tensors()) (void)file->read_f32(name, view.shape).ok();
  return 0;
}
