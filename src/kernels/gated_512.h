// numerics.h's SwiGLU in 512-bit registers.
#pragma once

#include <cstddef>

#include "kernels/requantise_512.h"
#include "kernels/x86_intrinsics.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {  // each kernel's own: NUMERICS on weak symbols

// Vectors that go through the same steps together: each step waits for the one before, and four fill the wait.
constexpr size_t kGated = 4;
using Vectors512 = __m512[kGated];

// numerics.h exp2_polynomial.
inline void exp2_4x16(Vectors512& x) {
  constexpr int kNearerZero = 2;  // with the sign of the first
  Vectors512 f, p;
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) {
    x[v] = _mm512_range_ps(x[v], _mm512_set1_ps(kExp2Limit), kNearerZero);
    f[v] = _mm512_reduce_ps(x[v], 0);  // x less the nearest integer
    p[v] = _mm512_set1_ps(kExp2Coefficients[6]);
  }
  HOTARU_UNROLL(6)
  for (int i = 5; i >= 0; i--) {
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kGated; v++) p[v] = _mm512_fmadd_ps(p[v], f[v], _mm512_set1_ps(kExp2Coefficients[i]));
  }
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) x[v] = _mm512_scalef_ps(p[v], _mm512_sub_ps(x[v], f[v]));
}

// up becomes silu(gate) * up
[[gnu::always_inline]] inline void gate_4x16(const Vectors512& gate, Vectors512& up) {
  Vectors512 e;
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) e[v] = _mm512_mul_ps(gate[v], _mm512_set1_ps(-kLog2E));
  exp2_4x16(e);
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) e[v] = _mm512_div_ps(gate[v], _mm512_add_ps(_mm512_set1_ps(1.0F), e[v]));
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) up[v] = _mm512_mul_ps(e[v], up[v]);
}

// The codes of silu(gate) * up, as bytes in order. Inlined, as a call would send all vectors through memory.
[[gnu::always_inline]] inline __m512i gated_codes(const Vectors512& gate, Vectors512& up, float inverse_scale,
                                                  float zero_point) {
  gate_4x16(gate, up);
  __m512i codes[kGated];
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) codes[v] = requantise_16(up[v], inverse_scale, zero_point);
  return to_64_u8(codes[0], codes[1], codes[2], codes[3]);
}

}  // namespace
}  // namespace hotaru
