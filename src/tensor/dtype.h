// Element types of tensors in memory and in files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hotaru {

enum class DType : uint8_t { kF64, kF32, kF16, kBf16, kI32, kI8, kU8, kU16, kI64, kBool };

// Bytes of one element.
constexpr size_t dtype_bytes(DType type) {
  switch (type) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBf16:
    case DType::kU16:
      return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  return 0;
}

// safetensors' spelling: "F32", "BF16", ...
std::string_view dtype_name(DType type);

float f16_to_f32(uint16_t bits);
float bf16_to_f32(uint16_t bits);

// out[i] = value of element i as float32. `type` is one of F64 (rounded once), F32, F16, BF16.
void convert_to_f32(DType type, const std::byte* in, size_t count, float* out);

}  // namespace hotaru
