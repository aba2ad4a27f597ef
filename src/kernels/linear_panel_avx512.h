// Many tokens against one or two blocks of 8-bit weights with AVX-512 VNNI: the inner part of linear_int8, and of
// linear_int4 once its multipliers are folded in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_rows_avx512.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

// Tokens whose sums over two blocks fit the 32 registers beside two weights and an activation.
inline constexpr int kPanelTokens512 = 12;

static inline __m512i broadcast_inputs_512(const uint8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return _mm512_set1_epi32(four);
}

// sums[t][b]: 16 rows of block[b] for token first_token + t. They come in memory: sums that live across the calls would
// not be kept in registers in the loop before either.
template <int kTokens, int kBlocks>
static inline void store_blocks_512(const LinearOutput& to, size_t first_token, const size_t (&block)[kBlocks],
                                    const __m512i (&sums)[kTokens][kBlocks]) {
  for (size_t t = 0; t < kTokens; t++) {
    for (size_t b = 0; b < kBlocks; b++) {
      store_16_rows(to, first_token + t, block[b] * kRowsPerBlock, sums[t][b]);
    }
  }
}

// panel[b]: [K/4][16 rows][4 inputs] of block[b]
template <int kTokens, int kBlocks>
static inline void panel_chunk_512(const PanelJob& job, size_t first_token, const size_t (&block)[kBlocks],
                                   const int8_t* const (&panel)[kBlocks]) {
  __m512i sums[kTokens][kBlocks];
  HOTARU_UNROLL(12)
  for (size_t t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(2)
    for (size_t b = 0; b < kBlocks; b++) sums[t][b] = _mm512_setzero_si512();
  }
  const uint8_t* u = job.input + first_token * job.inputs;
  const int8_t* from[kBlocks];
  HOTARU_UNROLL(2)
  for (size_t b = 0; b < kBlocks; b++) from[b] = panel[b];
  // Groups of steps share one look at the rows' addresses: there are more rows than address registers.
  for (size_t k = 0; k < job.inputs; k += 4 * kInputsPerStep) {
    HOTARU_UNROLL(4)
    for (size_t i = k; i < k + 4 * kInputsPerStep; i += kInputsPerStep) {
      __m512i weights[kBlocks];
      HOTARU_UNROLL(2)
      for (size_t b = 0; b < kBlocks; b++) weights[b] = _mm512_loadu_si512(from[b] + i * kRowsPerBlock);
      HOTARU_UNROLL(12)
      for (size_t t = 0; t < kTokens; t++) {
        const __m512i inputs = broadcast_inputs_512(u + t * job.inputs + i);
        HOTARU_UNROLL(2)
        for (size_t b = 0; b < kBlocks; b++) sums[t][b] = _mm512_dpbusd_epi32(sums[t][b], inputs, weights[b]);
      }
    }
  }
  __m512i done[kTokens][kBlocks];
  HOTARU_UNROLL(12)
  for (size_t t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(2)
    for (size_t b = 0; b < kBlocks; b++) done[t][b] = sums[t][b];
  }
  store_blocks_512<kTokens, kBlocks>(job.to, first_token, block, done);
}

// The last, smaller chunk.
template <int kTokens, int kBlocks>
static inline void panel_rest_512(const PanelJob& job, size_t first_token, const size_t (&block)[kBlocks],
                                  const int8_t* const (&panel)[kBlocks]) {
  if constexpr (kTokens > 0) {
    if (job.tokens - first_token == kTokens) {
      panel_chunk_512<kTokens, kBlocks>(job, first_token, block, panel);
    } else {
      panel_rest_512<kTokens - 1, kBlocks>(job, first_token, block, panel);
    }
  }
}

// All tokens. `next` .. `next_end` is the packed memory that comes after this panel: it is fetched meanwhile.
template <int kBlocks>
static inline void panel_all_tokens_512(const PanelJob& job, const size_t (&block)[kBlocks],
                                        const int8_t* const (&panel)[kBlocks], const void* next, size_t next_bytes) {
  const auto* ahead = static_cast<const char*>(next);
  const size_t chunks = (job.tokens + kPanelTokens512 - 1) / kPanelTokens512;
  for (size_t chunk = 0; chunk < chunks; chunk++) {
    for (size_t b = next_bytes * chunk / chunks; b < next_bytes * (chunk + 1) / chunks; b += 64) {
      _mm_prefetch(ahead + b, _MM_HINT_T1);
    }
    const size_t t = chunk * kPanelTokens512;
    if (job.tokens - t >= kPanelTokens512) {
      panel_chunk_512<kPanelTokens512, kBlocks>(job, t, block, panel);
    } else {
      panel_rest_512<kPanelTokens512 - 1, kBlocks>(job, t, block, panel);
    }
  }
}

}  // namespace hotaru
