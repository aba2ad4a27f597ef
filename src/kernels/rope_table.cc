#include "kernels/rope_table.h"

#include <bit>
#include <cstdint>

#include "base/check.h"

namespace hotaru {
namespace {

// pi/2 in three parts. The first two have 33 bits, so that n * part is exact for n < 2^20 (Cody and Waite).
constexpr double kHalfPi1 = 0x1.921fb544p+0;
constexpr double kHalfPi2 = 0x1.0b4611a6p-34;
constexpr double kHalfPi3 = 0x1.3198a2e037073p-69;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
constexpr double kRoundingShift = 0x1.8p+52;  // adding it leaves round_half_even(x) in the low bits

// Taylor coefficients; |r| <= pi/4 (and a little), where the first one left out is below 2^-54.
constexpr double kSine[] = {-1.0 / 6,        1.0 / 120,        -1.0 / 5040,          1.0 / 362880,
                            -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000};
constexpr double kCosine[] = {-1.0 / 2,       1.0 / 24,        -1.0 / 720,         1.0 / 40320,
                              -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000};

struct CosineSine {
  double cosine;
  double sine;
};

// Without branches, so that a loop of it pipelines (and may be vectorised: lanes do not change the arithmetic).
inline CosineSine cosine_sine(double angle) {
  const double shifted = angle * kTwoOverPi + kRoundingShift;
  const double n = shifted - kRoundingShift;
  const double r = ((angle - n * kHalfPi1) - n * kHalfPi2) - n * kHalfPi3;
  const double z = r * r;
  double s = kSine[7];
  double c = kCosine[7];
  for (int i = 6; i >= 0; i--) {
    s = s * z + kSine[i];
    c = c * z + kCosine[i];
  }
  s = r + r * (z * s);
  c = 1.0 + z * c;
  const auto quadrant = std::bit_cast<uint64_t>(shifted);
  const double swapped_cosine = (quadrant & 1) != 0 ? s : c;
  const double swapped_sine = (quadrant & 1) != 0 ? c : s;
  const uint64_t cosine_sign = ((quadrant + 1) & 2) << 62;
  const uint64_t sine_sign = (quadrant & 2) << 62;
  return {std::bit_cast<double>(std::bit_cast<uint64_t>(swapped_cosine) ^ cosine_sign),
          std::bit_cast<double>(std::bit_cast<uint64_t>(swapped_sine) ^ sine_sign)};
}

}  // namespace

void fill_rope_table(const RopeTableShape& shape, float* cosine, float* sine) {
  CHECK_LE(shape.positions, size_t{1} << 20);  // n < 2^20 above
  const size_t half = shape.inverse_frequency.size();
  for (size_t p = 0; p < shape.positions; p++) {
    const auto position = static_cast<double>(p);
    for (size_t j = 0; j < half; j++) {
      const CosineSine at = cosine_sine(position * shape.inverse_frequency[j]);
      cosine[p * half + j] = static_cast<float>(shape.attention_factor * at.cosine);
      sine[p * half + j] = static_cast<float>(shape.attention_factor * at.sine);
    }
  }
}

}  // namespace hotaru
