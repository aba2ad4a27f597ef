// 2^x in binary64 from + and * alone, so that probabilities are the same bits on every machine (libm's are not).
#pragma once

#include <bit>
#include <cstdint>

namespace hotaru {

// 2^x for x <= 0; 0 below -1000. Relative error < 1e-14.
inline double exp2_portable(double x) {
  if (!(x >= -1000.0)) return 0.0;  // NaN too
  // Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, ties to even.
  constexpr double kRounder = 0x1.8p52;
  const double n = (x + kRounder) - kRounder;
  const double f = (x - n) * 0.693147180559945309417;  // |f| <= ln(2) / 2
  // Taylor series of e^f, degree 13: the first term left out is below 5e-18.
  constexpr double kInverseFactorials[14] = {
      1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
      1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
  double p = kInverseFactorials[13];
  for (int i = 12; i >= 0; i--) p = p * f + kInverseFactorials[i];
  const auto exponent = static_cast<uint64_t>(static_cast<int64_t>(n)) << 52;
  return std::bit_cast<double>(std::bit_cast<uint64_t>(p) + exponent);
}

}  // namespace hotaru
