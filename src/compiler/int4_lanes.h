// Rounding to int4 codes, four numbers at once: the compiler's vector type, since -O2 leaves such loops scalar (6 times
// slower). Plain binary32 in a written order: the same codes on every machine.
#pragma once

#include <cstring>

namespace hotaru {

using Floats = float __attribute__((vector_size(16)));

inline Floats load_floats(const float* from) {
  Floats floats;
  std::memcpy(&floats, from, sizeof(floats));
  return floats;
}

// Adding and subtracting 1.5 * 2^23 rounds to nearest even and, unlike a call of rintf, becomes vector code everywhere.
// T: a float or Floats.
template <typename T>
T nearest(T x) {
  constexpr float kRounder = 12582912.0F;
  return (x + kRounder) - kRounder;
}

// x, or the limit where x is beyond it. In vectors GCC 12 does not see that this is one instruction.
inline float at_least(float x, float limit) { return x > limit ? x : limit; }
inline float at_most(float x, float limit) { return x < limit ? x : limit; }
#if defined(__SSE__)
inline Floats at_least(Floats x, Floats limit) { return __builtin_ia32_maxps(x, limit); }
inline Floats at_most(Floats x, Floats limit) { return __builtin_ia32_minps(x, limit); }
#else
inline Floats at_least(Floats x, Floats limit) { return x > limit ? x : limit; }
inline Floats at_most(Floats x, Floats limit) { return x < limit ? x : limit; }
#endif

// The code in [-8, 7] nearest to x.
template <typename T>
T nearest_code(T x) {
  return nearest(at_most(at_least(x, T{} - 8.0F), T{} + 7.0F));
}

}  // namespace hotaru
