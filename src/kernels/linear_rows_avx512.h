// From finished int32 sums of 16 output rows to the float output, in 512-bit registers. `static inline`: see NUMERICS
// on weak symbols.
#pragma once

#include <cstddef>

#include "kernels/linear_rows_x86.h"

namespace hotaru {

static inline __m512 scale_sums_512(__m512i sums, __m512i offset, __m512 scale) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(sums, offset)), scale);
}

// Rows n .. n+15 of a token, all of them below N.
static inline __m512 finish_16_rows(const LinearOutput& to, size_t n, __m512i sums) {
  const __m512 y = scale_sums_512(sums, _mm512_loadu_si512(to.offset + n), _mm512_loadu_ps(to.scale + n));
  return to.bias == nullptr ? y : _mm512_add_ps(y, _mm512_loadu_ps(to.bias + n));
}

// sums: rows n .. n+15 of token t; the rows at and beyond N are padding.
static inline void store_16_rows(const LinearOutput& to, size_t t, size_t n, __m512i sums) {
  if (n + 16 > to.outputs) {
    store_8_rows(to, t, n, _mm512_castsi512_si256(sums));
    store_8_rows(to, t, n + 8, _mm512_extracti64x4_epi64(sums, 1));
    return;
  }
  float* out = to.output + t * to.outputs + n;
  __m512 y = finish_16_rows(to, n, sums);
  if (to.add_to_output) y = _mm512_add_ps(_mm512_loadu_ps(out), y);
  _mm512_storeu_ps(out, y);
}

}  // namespace hotaru
