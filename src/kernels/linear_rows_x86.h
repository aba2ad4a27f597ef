// What all x86 linear kernels share: the way from finished int32 sums of 8 output rows to the float output.
// `static inline`: see NUMERICS on weak symbols.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

// The output side of LinearInt4Args and LinearInt8Args.
struct LinearOutput {
  size_t outputs;         // N
  const int32_t* offset;  // [N]
  const float* scale;     // [N]
  const float* bias;      // [N] or null
  float* output;          // [T, N]
  bool add_to_output;
};

// What is the same for all rows of a call.
struct PanelJob {
  size_t tokens, inputs;
  const uint8_t* input;  // [T, K]
  LinearOutput to;
};

// Inputs [begin, end) of K, a multiple of 16 of them. The sums of a part wait in memory for the next one:
// [T][blocks at once][16]; with one part for all inputs there are none.
struct PanelPart {
  size_t begin, end;
  int32_t* sums;
};

static inline __m256 finish_row_sums(__m256i sums, __m256i offset, __m256 scale) {
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(sums, offset)), scale);
}

// sums: rows n .. n+7 of token t; the rows at and beyond N are padding. Not inlined: callers unroll over tokens, so
// that their sums are registers and not an array.
[[gnu::noinline]] static void store_8_rows(const LinearOutput& to, size_t t, size_t n, __m256i sums) {
  if (n >= to.outputs) return;
  float* out = to.output + t * to.outputs + n;
  const size_t rows = to.outputs - n;
  if (rows >= 8) {
    const __m256i offset = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(to.offset + n));
    __m256 y = finish_row_sums(sums, offset, _mm256_loadu_ps(to.scale + n));
    if (to.bias != nullptr) y = _mm256_add_ps(y, _mm256_loadu_ps(to.bias + n));
    if (to.add_to_output) y = _mm256_add_ps(_mm256_loadu_ps(out), y);
    _mm256_storeu_ps(out, y);
    return;
  }
  const __m256i mask =
      _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(rows)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  __m256 y = finish_row_sums(sums, _mm256_maskload_epi32(to.offset + n, mask), _mm256_maskload_ps(to.scale + n, mask));
  if (to.bias != nullptr) y = _mm256_add_ps(y, _mm256_maskload_ps(to.bias + n, mask));
  if (to.add_to_output) y = _mm256_add_ps(_mm256_maskload_ps(out, mask), y);
  _mm256_maskstore_ps(out, mask, y);
}

}  // namespace hotaru
