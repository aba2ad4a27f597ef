// numerics.h's SwiGLU in 512-bit registers.
#pragma once

#include <cstddef>

#include "kernels/x86_intrinsics.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {  // each kernel's own: NUMERICS on weak symbols

// Vectors that go through the same steps together: each step waits for the one before, and four fill the wait.
constexpr size_t kGated = 4;
using Vectors512 = __m512[kGated];

// numerics.h exp2_polynomial; adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
inline void exp2_4x16(Vectors512& x) {
  const __m512 shift = _mm512_set1_ps(12582912.0F);
  Vectors512 shifted, p;
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) {
    x[v] = _mm512_max_ps(x[v], _mm512_set1_ps(-kExp2Limit));
    x[v] = _mm512_min_ps(x[v], _mm512_set1_ps(kExp2Limit));
    shifted[v] = _mm512_add_ps(x[v], shift);
    x[v] = _mm512_reduce_ps(x[v], 0);  // less the nearest integer
    p[v] = _mm512_set1_ps(kExp2Coefficients[6]);
  }
  HOTARU_UNROLL(6)
  for (int i = 5; i >= 0; i--) {
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kGated; v++) p[v] = _mm512_fmadd_ps(p[v], x[v], _mm512_set1_ps(kExp2Coefficients[i]));
  }
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted[v]), 23);
    x[v] = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p[v]), exponent));
  }
}

// up becomes silu(gate) * up
inline void gate_4x16(const Vectors512& gate, Vectors512& up) {
  Vectors512 e;
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) e[v] = _mm512_mul_ps(gate[v], _mm512_set1_ps(-kLog2E));
  exp2_4x16(e);
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) e[v] = _mm512_div_ps(gate[v], _mm512_add_ps(_mm512_set1_ps(1.0F), e[v]));
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) up[v] = _mm512_mul_ps(e[v], up[v]);
}

}  // namespace
}  // namespace hotaru
