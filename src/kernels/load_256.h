// Loads into 256-bit registers, from any address.
#pragma once

#include <cstdint>

#include "kernels/x86_intrinsics.h"

namespace hotaru {

static inline __m256i load_256(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

// The 4 bytes there, 8 times.
static inline __m256i broadcast_32(const void* from) {
  int32_t value;
  __builtin_memcpy(&value, from, sizeof value);
  return _mm256_set1_epi32(value);
}

}  // namespace hotaru
