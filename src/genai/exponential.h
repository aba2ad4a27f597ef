// 2^x and ln x in binary64 from +, -, * and / alone, so that probabilities are the same bits on every machine (libm's
// are not).
#pragma once

#include <bit>
#include <cstdint>

namespace hotaru {

// Two numbers in one vector register (a compiler extension of GCC and clang, on every machine): compilers did not make
// vector code of the scalar definition.
using Pair = double __attribute__((vector_size(16)));
using BitsPair = uint64_t __attribute__((vector_size(16)));

// 2^x for x <= 0; 0 below -1000 and for NaN. Relative error < 1e-14.
inline Pair exp2_portable(Pair x) {
  constexpr double kLeast = -1000.0;
  const auto is_normal = x >= kLeast;  // all bits set, or none
  const Pair in_range = is_normal ? x : Pair{kLeast, kLeast};
  // Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, ties to even; its low bits are that integer.
  constexpr double kRounder = 0x1.8p52;
  const Pair rounded = in_range + kRounder;
  const Pair f = (in_range - (rounded - kRounder)) * 0.693147180559945309417;  // |f| <= ln(2) / 2
  // Taylor series of e^f, degree 13: the first term left out is below 5e-18.
  constexpr double kInverseFactorials[14] = {
      1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
      1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
  Pair p = Pair{kInverseFactorials[13], kInverseFactorials[13]};
#pragma GCC unroll 13
  for (int i = 12; i >= 0; i--) p = p * f + kInverseFactorials[i];
  const BitsPair power = std::bit_cast<BitsPair>(p) + (std::bit_cast<BitsPair>(rounded) << 52);
  return std::bit_cast<Pair>(power & std::bit_cast<BitsPair>(is_normal));
}
inline double exp2_portable(double x) { return exp2_portable(Pair{x, x})[0]; }

// ln x for finite x >= 2^-1000. Relative error < 1e-15 away from 1, absolute error < 1e-16 near it.
inline double log_portable(double x) {
  constexpr double kSqrt2 = 1.41421356237309504880;
  const auto bits = std::bit_cast<uint64_t>(x);
  auto exponent = static_cast<double>(static_cast<int64_t>(bits >> 52) - 1023);
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL);  // [1, 2)
  if (m > kSqrt2) {
    m = m * 0.5;
    exponent = exponent + 1.0;
  }
  // ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.1716: the first term left out is below 1e-19.
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double p = 0.0;
  for (int i = 23; i >= 1; i -= 2) p = p * s2 + 1.0 / i;
  return 2.0 * s * p + exponent * 0.693147180559945309417;
}

}  // namespace hotaru
