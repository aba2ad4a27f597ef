// numerics.h's requantise in 512-bit registers, and the way from int32 lanes to bytes. Internal linkage: see NUMERICS
// on weak symbols.
#pragma once

#include <cstdint>

#include "kernels/x86_intrinsics.h"

namespace hotaru {
namespace {

// The u8 code of 16 floats, as int32 for to_64_u8: what is negative there, as is a NaN, becomes the code 0.
inline __m512i requantise_16(__m512 x, float inverse_scale, float zero_point) {
  const __m512 t = _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(inverse_scale)), _mm512_set1_ps(zero_point));
  return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(255.0F), t));  // of 255 and a NaN, the NaN
}

// 64 int32 codes as bytes, in order, negative ones as 0.
inline __m512i to_64_u8(__m512i p0, __m512i p1, __m512i p2, __m512i p3) {
  // 128-bit lane i of the packed bytes holds the codes 4i .. 4i+3 of p0, p1, p2, p3.
  const __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(p0, p1), _mm512_packs_epi32(p2, p3));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, packed);
}

}  // namespace
}  // namespace hotaru
