#include "tensor/dtype.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace hotaru {
namespace {

template <typename T>
T load(const std::byte* in, size_t index) {
  T value;  // files need not be aligned
  std::memcpy(&value, in + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

std::string_view dtype_name(DType type) {
  switch (type) {
    case DType::kF64:
      return "F64";
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBf16:
      return "BF16";
    case DType::kI32:
      return "I32";
    case DType::kI8:
      return "I8";
    case DType::kU8:
      return "U8";
    case DType::kU16:
      return "U16";
    case DType::kI64:
      return "I64";
    case DType::kBool:
      return "BOOL";
  }
  return "?";
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1FU;
  const uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24, exact in binary32
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  // Infinity and NaN keep their fraction; every other exponent moves from bias 15 to bias 127.
  const uint32_t wide_exponent = exponent == 0x1F ? 0xFFU : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (wide_exponent << 23) | (fraction << 13));
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

void convert_to_f32(DType type, const std::byte* in, size_t count, float* out) {
  switch (type) {
    case DType::kF64:
      for (size_t i = 0; i < count; i++) out[i] = static_cast<float>(load<double>(in, i));
      return;
    case DType::kF32:
      if (count > 0) std::memcpy(out, in, count * sizeof(float));
      return;
    case DType::kF16:
      for (size_t i = 0; i < count; i++) out[i] = f16_to_f32(load<uint16_t>(in, i));
      return;
    case DType::kBf16:
      for (size_t i = 0; i < count; i++) out[i] = bf16_to_f32(load<uint16_t>(in, i));
      return;
    default:
      CHECK(false && "convert_to_f32 reads floating-point types only");
  }
}

}  // namespace hotaru
