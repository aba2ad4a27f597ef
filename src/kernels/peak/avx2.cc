// vpmaddubsw and vpaddw: an 8-bit product is never less than these two.
#include "kernels/peak/peak.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

uint64_t peak_avx2(uint64_t rounds) {
  constexpr int kSums = 12;
  constexpr int kSteps = 80;
  __m256i sums[kSums];
  HOTARU_UNROLL(12)
  for (int i = 0; i < kSums; i++) sums[i] = _mm256_setzero_si256();
  __m256i u = _mm256_set1_epi8(1);
  const __m256i w = _mm256_set1_epi8(2);
  for (uint64_t step = 0; step < rounds * kSteps; step++) {
    HOTARU_UNROLL(12)
    for (int i = 0; i < kSums; i++) {
      HOTARU_IN_ORDER(u);  // not known to be the same as before
      sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(u, w));
      HOTARU_IN_ORDER(sums[i]);
    }
  }
  HOTARU_UNROLL(12)
  for (int i = 0; i < kSums; i++) asm volatile("" : : "v"(sums[i]));
  return rounds * kSteps * kSums * sizeof u;
}

}  // namespace hotaru
