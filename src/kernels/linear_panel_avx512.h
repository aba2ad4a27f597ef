// Many tokens against one or two blocks of 8-bit weights with AVX-512 VNNI: the inner part of linear_int8, and of
// linear_int4 once its multipliers are folded in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_rows_x86.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

struct PanelJob {
  size_t tokens, inputs;
  const uint8_t* input;  // [T, K]
  LinearOutput to;
};

// Tokens whose sums over two blocks fit the 32 registers beside two weights and an activation.
inline constexpr int kPanelTokens = 12;

static inline __m512i broadcast_inputs_512(const uint8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return _mm512_set1_epi32(four);
}

static inline void store_16_rows(const LinearOutput& to, size_t t, size_t n, __m512i sums) {
  store_8_rows(to, t, n, _mm512_castsi512_si256(sums));
  store_8_rows(to, t, n + 8, _mm512_extracti64x4_epi64(sums, 1));
}

// panel[i]: [K/4][16 rows][4 inputs] of block first_block + i
template <int kTokens, int kBlocks>
static inline void panel_chunk_512(const PanelJob& job, size_t first_token, size_t first_block,
                                   const int8_t* const (&panel)[kBlocks]) {
  __m512i sums[kTokens][kBlocks];
  HOTARU_UNROLL(12)
  for (int t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(2)
    for (int b = 0; b < kBlocks; b++) sums[t][b] = _mm512_setzero_si512();
  }
  const uint8_t* u = job.input + first_token * job.inputs;
  for (size_t k = 0; k < job.inputs; k += kInputsPerStep) {
    __m512i weights[kBlocks];
    HOTARU_UNROLL(2)
    for (int b = 0; b < kBlocks; b++) weights[b] = _mm512_loadu_si512(panel[b] + k * kRowsPerBlock);
    HOTARU_UNROLL(12)
    for (int t = 0; t < kTokens; t++) {
      const __m512i inputs = broadcast_inputs_512(u + static_cast<size_t>(t) * job.inputs + k);
      HOTARU_UNROLL(2)
      for (int b = 0; b < kBlocks; b++) sums[t][b] = _mm512_dpbusd_epi32(sums[t][b], inputs, weights[b]);
    }
  }
  HOTARU_UNROLL(12)
  for (int t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(2)
    for (int b = 0; b < kBlocks; b++) {
      store_16_rows(job.to, first_token + static_cast<size_t>(t),
                    (first_block + static_cast<size_t>(b)) * kRowsPerBlock, sums[t][b]);
    }
  }
}

// The last, smaller chunk.
template <int kTokens, int kBlocks>
static inline void panel_rest_512(const PanelJob& job, size_t first_token, size_t first_block,
                                  const int8_t* const (&panel)[kBlocks]) {
  if constexpr (kTokens > 0) {
    if (job.tokens - first_token == kTokens) {
      panel_chunk_512<kTokens, kBlocks>(job, first_token, first_block, panel);
    } else {
      panel_rest_512<kTokens - 1, kBlocks>(job, first_token, first_block, panel);
    }
  }
}

// All tokens. `next` .. `next_end` is the packed memory that comes after this panel: it is fetched meanwhile.
template <int kBlocks>
static inline void panel_all_tokens_512(const PanelJob& job, size_t first_block, const int8_t* const (&panel)[kBlocks],
                                        const void* next, size_t next_bytes) {
  const auto* ahead = static_cast<const char*>(next);
  const size_t chunks = (job.tokens + kPanelTokens - 1) / kPanelTokens;
  for (size_t chunk = 0; chunk < chunks; chunk++) {
    for (size_t b = next_bytes * chunk / chunks; b < next_bytes * (chunk + 1) / chunks; b += 64) {
      _mm_prefetch(ahead + b, _MM_HINT_T1);
    }
    const size_t t = chunk * kPanelTokens;
    if (job.tokens - t >= kPanelTokens) {
      panel_chunk_512<kPanelTokens, kBlocks>(job, t, first_block, panel);
    } else {
      panel_rest_512<kPanelTokens - 1, kBlocks>(job, t, first_block, panel);
    }
  }
}

}  // namespace hotaru
