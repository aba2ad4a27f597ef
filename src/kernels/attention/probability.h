// A score's distance from its row's maximum -> an unnormalised probability: a code, or a prefix token's float.
// `static inline` as in numerics.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "tensor/numerics.h"

namespace hotaru {

// 255 * 2^x as a cubic in the fraction of x, minimax with the value at 0 held: relative error 1.02e-4, that is at most
// 0.03 of a code's step. The code is all that is left of it, so the six fma of exp2_polynomial would buy nothing.
constexpr float kProbabilityCoefficients[4] = {255.0F, 176.787167F, 61.7638205F, 14.0271139F};
inline constexpr float kProbabilityFloor = -16.0F;  // 255 * 2^-16 rounds to 0
// 1.5 * 2^23: adding it rounds a small float to an integer (half to even) and leaves that integer in the low bits.
inline constexpr float kRoundingShift = 12582912.0F;

// p = round_half_even(255 * 2^x), x <= 0.
static inline uint8_t probability_u8(float x) {
  x = x > kProbabilityFloor ? x : kProbabilityFloor;
  const float shifted = x + kRoundingShift;
  const float f = x - (shifted - kRoundingShift);
  float p = kProbabilityCoefficients[3];
  p = __builtin_fmaf(p, f, kProbabilityCoefficients[2]);
  p = __builtin_fmaf(p, f, kProbabilityCoefficients[1]);
  p = __builtin_fmaf(p, f, kProbabilityCoefficients[0]);
  const uint32_t bits = std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(shifted) << 23);  // p * 2^n
  return static_cast<uint8_t>(std::lrintf(std::bit_cast<float>(bits)));
}

// p of x = float(distance) * score_scale, distance = a - m <= 0.
static inline uint8_t probability_u8(int32_t distance, float score_scale) {
  return probability_u8(static_cast<float>(distance) * score_scale);
}

// The weight of a prefix token whose score lies `distance` (in powers of two) above the row's maximum.
inline constexpr float kMaxPrefixDistance = 24.0F;
static inline float prefix_weight(float distance) {
  return 255.0F * exp2_polynomial(distance < kMaxPrefixDistance ? distance : kMaxPrefixDistance);
}

}  // namespace hotaru
