// -8 * the sum of every group's activations: what undoes the nibbles' offset of 8 when a kernel multiplies nibbles and
// not codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

// input: `groups` runs of 32 activations -> start[groups]
static inline void negated_group_sums(const uint8_t* input, size_t groups, int32_t* start) {
  for (size_t g = 0; g < groups; g++) {
    const __m256i u = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(input + g * kGroupInputs));
    const __m256i quarters = _mm256_sad_epu8(u, _mm256_setzero_si256());
    const __m128i halves = _mm_add_epi64(_mm256_castsi256_si128(quarters), _mm256_extracti128_si256(quarters, 1));
    const __m128i sum = _mm_add_epi64(halves, _mm_shuffle_epi32(halves, 0x4E));
    start[g] = -8 * _mm_cvtsi128_si32(sum);
  }
}

}  // namespace hotaru
