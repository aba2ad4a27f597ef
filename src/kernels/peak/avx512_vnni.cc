// vpdpbusd on 512 bits.
#include "kernels/peak/peak.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

uint64_t peak_avx512_vnni(uint64_t rounds) {
  constexpr int kSums = 24;
  constexpr int kSteps = 80;
  __m512i sums[kSums];
  HOTARU_UNROLL(24)
  for (int i = 0; i < kSums; i++) sums[i] = _mm512_setzero_si512();
  __m512i u = _mm512_set1_epi8(1);
  const __m512i w = _mm512_set1_epi8(2);
  for (uint64_t step = 0; step < rounds * kSteps; step++) {
    HOTARU_UNROLL(24)
    for (int i = 0; i < kSums; i++) {
      HOTARU_IN_ORDER(u);  // not known to be the same as before
      sums[i] = _mm512_dpbusd_epi32(sums[i], u, w);
      HOTARU_IN_ORDER(sums[i]);
    }
  }
  HOTARU_UNROLL(24)
  for (int i = 0; i < kSums; i++) asm volatile("" : : "v"(sums[i]));
  return rounds * kSteps * kSums * sizeof u;
}

}  // namespace hotaru
