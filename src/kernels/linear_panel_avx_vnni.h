// Many tokens against a block of 8-bit weights with AVX-VNNI: the inner part of linear_int8, and of linear_int4 once
// its multipliers are folded in. The AVX-512 twin is linear_panel_avx512.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_rows_x86.h"
#include "kernels/load_256.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

// Rows 0..7 and 8..15 of a block.
struct BlockVectors {
  __m256i low, high;
};

// Tokens whose sums over a block fit the 16 registers beside two weights and an activation.
inline constexpr int kPanelTokens256 = 6;

static inline BlockVectors load_block_step(const void* from) {
  const auto* halves = static_cast<const __m256i*>(from);
  return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
}

static inline void store_block_step(void* to, const BlockVectors& x) {
  auto* halves = static_cast<__m256i*>(to);
  _mm256_storeu_si256(halves, x.low);
  _mm256_storeu_si256(halves + 1, x.high);
}

static inline void add_products(BlockVectors& sums, __m256i inputs, const BlockVectors& weights) {
  sums.low = _mm256_dpbusd_avx_epi32(sums.low, inputs, weights.low);
  sums.high = _mm256_dpbusd_avx_epi32(sums.high, inputs, weights.high);
}

// sums[t]: the rows of `block` for token first_token + t. They come in memory: sums that live across the calls would
// not be kept in registers in the loop before either.
template <int kTokens>
static inline void store_block_256(const LinearOutput& to, size_t first_token, size_t block,
                                   const BlockVectors (&sums)[kTokens]) {
  for (size_t t = 0; t < kTokens; t++) {
    store_8_rows(to, first_token + t, block * kRowsPerBlock, sums[t].low);
    store_8_rows(to, first_token + t, block * kRowsPerBlock + 8, sums[t].high);
  }
}

// A block's part of K, and what comes after it, to be fetched meanwhile.
struct Panel {
  size_t block;
  const int8_t* weights;  // [inputs of the part / 4][16 rows][4 inputs]
  const void* next;
  size_t next_bytes;
};

template <int kTokens>
static inline void panel_chunk_256(const PanelJob& job, const PanelPart& part, size_t first_token, const Panel& panel) {
  BlockVectors sums[kTokens];
  int32_t* waiting = part.sums == nullptr ? nullptr : part.sums + first_token * kRowsPerBlock;
  HOTARU_UNROLL(6)
  for (size_t t = 0; t < kTokens; t++) {
    sums[t] = part.begin == 0 ? BlockVectors{_mm256_setzero_si256(), _mm256_setzero_si256()}
                              : load_block_step(waiting + t * kRowsPerBlock);
  }
  const uint8_t* u = job.input + first_token * job.inputs + part.begin;
  const int8_t* from = panel.weights;
  for (size_t k = 0; k < part.end - part.begin; k += kInputsPerStep) {
    const BlockVectors weights = load_block_step(from + k * kRowsPerBlock);
    HOTARU_UNROLL(6)
    for (size_t t = 0; t < kTokens; t++) {
      add_products(sums[t], broadcast_32(u + t * job.inputs + k), weights);
    }
  }
  if (part.end < job.inputs) {
    HOTARU_UNROLL(6)
    for (size_t t = 0; t < kTokens; t++) store_block_step(waiting + t * kRowsPerBlock, sums[t]);
    return;
  }
  BlockVectors done[kTokens];
  HOTARU_UNROLL(6)
  for (size_t t = 0; t < kTokens; t++) done[t] = sums[t];
  store_block_256<kTokens>(job.to, first_token, panel.block, done);
}

// The last, smaller chunk.
template <int kTokens>
static inline void panel_rest_256(const PanelJob& job, const PanelPart& part, size_t first_token, const Panel& panel) {
  if constexpr (kTokens > 0) {
    if (job.tokens - first_token == kTokens) {
      panel_chunk_256<kTokens>(job, part, first_token, panel);
    } else {
      panel_rest_256<kTokens - 1>(job, part, first_token, panel);
    }
  }
}

static inline void panel_all_tokens_256(const PanelJob& job, const PanelPart& part, const Panel& panel) {
  const auto* ahead = static_cast<const char*>(panel.next);
  const size_t chunks = (job.tokens + kPanelTokens256 - 1) / kPanelTokens256;
  for (size_t chunk = 0; chunk < chunks; chunk++) {
    for (size_t b = panel.next_bytes * chunk / chunks; b < panel.next_bytes * (chunk + 1) / chunks; b += 64) {
      _mm_prefetch(ahead + b, _MM_HINT_T1);
    }
    const size_t t = chunk * kPanelTokens256;
    if (job.tokens - t >= kPanelTokens256) {
      panel_chunk_256<kPanelTokens256>(job, part, t, panel);
    } else {
      panel_rest_256<kPanelTokens256 - 1>(job, part, t, panel);
    }
  }
}

}  // namespace hotaru
