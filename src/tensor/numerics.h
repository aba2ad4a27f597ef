// The arithmetic that every ISA must reproduce bit for bit (docs/numerics.md). Scalar definitions; kernels/*/ref.cc
// call these. Functions are `static inline` on purpose: ISA files include this header, and an ordinary inline function
// (or inline array) would become a weak symbol whose body (plain or AVX-512) is then chosen by link order.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace hotaru {

// Requantise: u = round_half_even(clamp(x * inverse_scale + zero_point, low, high)). Multiply, then add (no fma), then
// clamp in float with the operand order of maxps/minps (a NaN gives `low`), then convert.
static inline float requantise_clamp(float x, float inverse_scale, float zero_point, float low, float high) {
  float t = x * inverse_scale;
  t = t + zero_point;
  t = t > low ? t : low;
  t = t < high ? t : high;
  return t;
}
static inline uint8_t requantise_u8(float x, float inverse_scale, float zero_point) {
  return static_cast<uint8_t>(std::lrintf(requantise_clamp(x, inverse_scale, zero_point, 0.0F, 255.0F)));
}
static inline uint16_t requantise_u16(float x, float inverse_scale, float zero_point) {
  return static_cast<uint16_t>(std::lrintf(requantise_clamp(x, inverse_scale, zero_point, 0.0F, 65535.0F)));
}
// Symmetric signed: zero_point 0, code in [-127, 127] or [-32767, 32767].
static inline int8_t requantise_s8(float x, float inverse_scale) {
  return static_cast<int8_t>(std::lrintf(requantise_clamp(x, inverse_scale, 0.0F, -127.0F, 127.0F)));
}
static inline int16_t requantise_s16(float x, float inverse_scale) {
  return static_cast<int16_t>(std::lrintf(requantise_clamp(x, inverse_scale, 0.0F, -32767.0F, 32767.0F)));
}

// 2^x for x in [-120, 120] (clamped). x = n + f with n = round_half_even(x), |f| <= 1/2; 2^f by a polynomial (Taylor of
// e^(f ln 2), Horner with fma, degree 6; relative error < 2.3e-7, numerics_test); n is added to the exponent.
inline constexpr float kExp2Limit = 120.0F;
constexpr float kExp2Coefficients[7] = {1.0F,           0.693147182F,   0.240226507F,   0.0555041087F,
                                        0.00961812911F, 0.00133335581F, 0.000154035304F};
static inline float exp2_polynomial(float x) {
  x = x > -kExp2Limit ? x : -kExp2Limit;
  x = x < kExp2Limit ? x : kExp2Limit;
  const float n = std::nearbyintf(x);
  const float f = x - n;
  float p = kExp2Coefficients[6];
  for (int i = 5; i >= 0; i--) p = __builtin_fmaf(p, f, kExp2Coefficients[i]);
  const int32_t exponent = static_cast<int32_t>(n);
  return std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent * (1 << 23));
}

// silu(x) = x / (1 + 2^(-x log2 e)).
inline constexpr float kLog2E = 1.44269502F;
static inline float silu(float x) {
  const float e = exp2_polynomial(-x * kLog2E);
  return x / (1.0F + e);
}

// Float reductions have one shape: 16 lanes, lane j adds elements j, j+16, ... in order (missing elements add nothing),
// then lanes are added 8-4-2-1: l[j] + l[j+8], then +4, +2, +1. sum_k x[k]^2 with fma: lane = fma(x, x, lane).
static inline float tree_sum_16(const float* lanes) {
  float t[8];
  for (int j = 0; j < 8; j++) t[j] = lanes[j] + lanes[j + 8];
  for (int j = 0; j < 4; j++) t[j] = t[j] + t[j + 4];
  t[0] = t[0] + t[2];
  t[1] = t[1] + t[3];
  return t[0] + t[1];
}
static inline float sum_of_squares(const float* x, size_t count) {
  float lanes[16] = {};
  for (size_t k = 0; k < count; k++) lanes[k % 16] = __builtin_fmaf(x[k], x[k], lanes[k % 16]);
  return tree_sum_16(lanes);
}

}  // namespace hotaru
