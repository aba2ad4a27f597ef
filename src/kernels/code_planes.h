// Activations as linears read them: one plane of u8 codes; or, where 8 bits are too few, two planes for the codes
// u = 256 high + low, so that a linear can multiply each plane like any 8-bit input (linear_int4.h). `static inline`
// as in numerics.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/numerics.h"

namespace hotaru {

struct CodePlanes {
  uint8_t* low = nullptr;
  uint8_t* high = nullptr;  // null: 8-bit codes
};

static inline CodePlanes planes_from(const CodePlanes& planes, size_t element) {
  return {planes.low + element, planes.high == nullptr ? nullptr : planes.high + element};
}

// Element `at` becomes the code of x: requantise_u8, or requantise_u16 in two bytes.
static inline void store_code(const CodePlanes& to, size_t at, float x, float inverse_scale, float zero_point) {
  if (to.high == nullptr) {
    to.low[at] = requantise_u8(x, inverse_scale, zero_point);
    return;
  }
  const uint16_t code = requantise_u16(x, inverse_scale, zero_point);
  to.low[at] = static_cast<uint8_t>(code & 255);
  to.high[at] = static_cast<uint8_t>(code >> 8);
}

// Signed codes 256 high + low with both planes s8, for kernels that multiply s8.
struct SignedPlanes {
  int8_t* low = nullptr;
  int8_t* high = nullptr;
};
inline constexpr float kMostSignedCode = 32639.0F;  // 256 * 127 + 127

// Element `at` becomes round_half_even(clamp(x * inverse_scale)).
static inline void store_signed_code(const SignedPlanes& to, size_t at, float x, float inverse_scale) {
  const float clamped = requantise_clamp(x, inverse_scale, 0.0F, -kMostSignedCode, kMostSignedCode);
  const auto code = static_cast<int32_t>(std::lrintf(clamped));
  const auto low = static_cast<int8_t>(code & 255);
  to.low[at] = low;
  to.high[at] = static_cast<int8_t>((code - low) / 256);
}

}  // namespace hotaru
