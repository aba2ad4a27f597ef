// The loop of all vector probes: as many independent sums as hide an instruction's latency.
#pragma once

#include <cstdint>

#include "kernels/x86_intrinsics.h"

namespace hotaru {

// multiply_add(sum, u, w): one product of each byte of u and w.
template <int kSums, typename Vector, typename MultiplyAdd>
static inline uint64_t vector_peak(uint64_t rounds, Vector u, Vector w, MultiplyAdd multiply_add) {
  constexpr int kSteps = 80;
  Vector sums[kSums];
  HOTARU_UNROLL(24)
  for (int i = 0; i < kSums; i++) sums[i] = Vector{};
  for (uint64_t step = 0; step < rounds * kSteps; step++) {
    HOTARU_UNROLL(24)
    for (int i = 0; i < kSums; i++) {
      HOTARU_IN_ORDER(u);  // not known to be the same as before
      sums[i] = multiply_add(sums[i], u, w);
      HOTARU_IN_ORDER(sums[i]);
    }
  }
  HOTARU_UNROLL(24)
  for (int i = 0; i < kSums; i++) asm volatile("" : : "v"(sums[i]));
  return rounds * kSteps * kSums * sizeof u;
}

}  // namespace hotaru
