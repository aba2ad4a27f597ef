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

// The code in [-8, 7] nearest to x.
template <typename T>
T nearest_code(T x) {
  const T lowest = T{} - 8.0F;
  const T highest = T{} + 7.0F;
  x = x > lowest ? x : lowest;
  x = x < highest ? x : highest;
  return nearest(x);
}

}  // namespace hotaru
