// Many tokens against one, two or four blocks of 8-bit weights with AVX-512 VNNI: the inner part of linear_int8, and of
// linear_int4 and gated_linear once multipliers are folded in. What is done with finished sums is the caller's:
//
//   store(first token, blocks, sums)   sums[t][b]: 16 rows of blocks[b] for token first + t. They come in memory: sums
//                                      that live across the calls would not be kept in registers in the loop before.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_rows_avx512.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

// Tokens at once: 24 sums of tokens and blocks fit the 32 registers beside the blocks' weights and an activation. Six
// tokens by four blocks need 10 loads for 24 products, twelve by two need 14: 96 and 90 % of the peak.
template <int kBlocks>
inline constexpr int kPanelTokens512 = kBlocks == 4 ? 6 : 12;

// How far ahead a panel's weights are asked for, which may lie in L2.
inline constexpr size_t kPanelAhead512 = 512;

static inline __m512i broadcast_inputs_512(const uint8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return _mm512_set1_epi32(four);
}

namespace {

// Floats, what a linear layer alone writes.
struct StoreRows512 {
  const LinearOutput& to;

  template <int kTokens, int kBlocks>
  void operator()(size_t first_token, const size_t (&block)[kBlocks], const __m512i (&sums)[kTokens][kBlocks]) const {
    for (size_t t = 0; t < kTokens; t++) {
      for (size_t b = 0; b < kBlocks; b++) {
        store_16_rows(to, first_token + t, block[b] * kRowsPerBlock, sums[t][b]);
      }
    }
  }
};

}  // namespace

// The `unpack` of weights that are there.
struct Unpacked512 {
  void operator()(size_t /*input*/) const {}
};

// Blocks that are multiplied together: their part of K, and what comes after it, to be fetched meanwhile.
template <int kBlocks, typename Unpack = Unpacked512>
struct Panels {
  size_t block[kBlocks];
  const int8_t* weights[kBlocks];  // [inputs of the part / 4][16 rows][4 inputs]
  const void* next[kBlocks];
  size_t next_bytes;  // of each
  // unpack(input): called before the first tokens meet each group of 32 inputs, [input, input + 32) of the part; their
  // products hide most of what it costs. Other than with Unpacked512 there must be kPanelTokens512 tokens.
  Unpack unpack = {};
};

template <int kTokens, bool kUnpacks, int kBlocks, typename Unpack, typename Store>
static inline void panel_chunk_512(const PanelJob& job, const PanelPart& part, size_t first_token,
                                   const Panels<kBlocks, Unpack>& panels, const Store& store) {
  __m512i sums[kTokens][kBlocks];
  int32_t* waiting = part.sums == nullptr ? nullptr : part.sums + first_token * kBlocks * kRowsPerBlock;
  HOTARU_UNROLL(12)
  for (size_t t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(4)
    for (size_t b = 0; b < kBlocks; b++) {
      sums[t][b] =
          part.begin == 0 ? _mm512_setzero_si512() : _mm512_loadu_si512(waiting + (t * kBlocks + b) * kRowsPerBlock);
    }
  }
  const uint8_t* u = job.input + first_token * job.inputs + part.begin;
  const int8_t* from[kBlocks];
  HOTARU_UNROLL(4)
  for (size_t b = 0; b < kBlocks; b++) from[b] = panels.weights[b];
  // Groups of steps share one look at the rows' addresses: there are more rows than address registers.
  for (size_t k = 0; k < part.end - part.begin; k += 4 * kInputsPerStep) {
    if (kUnpacks && k % kGroupInputs == 0) panels.unpack(k);
    HOTARU_UNROLL(4)
    for (size_t i = k; i < k + 4 * kInputsPerStep; i += kInputsPerStep) {
      __m512i weights[kBlocks];
      HOTARU_UNROLL(4)
      for (size_t b = 0; b < kBlocks; b++) {
        const int8_t* step = from[b] + i * kRowsPerBlock;
        _mm_prefetch(reinterpret_cast<const char*>(step) + kPanelAhead512, _MM_HINT_T0);
        weights[b] = _mm512_loadu_si512(step);
      }
      HOTARU_UNROLL(12)
      for (size_t t = 0; t < kTokens; t++) {
        const __m512i inputs = broadcast_inputs_512(u + t * job.inputs + i);
        HOTARU_UNROLL(4)
        for (size_t b = 0; b < kBlocks; b++) sums[t][b] = _mm512_dpbusd_epi32(sums[t][b], inputs, weights[b]);
      }
    }
  }
  if (part.end < job.inputs) {
    HOTARU_UNROLL(12)
    for (size_t t = 0; t < kTokens; t++) {
      HOTARU_UNROLL(4)
      for (size_t b = 0; b < kBlocks; b++) _mm512_storeu_si512(waiting + (t * kBlocks + b) * kRowsPerBlock, sums[t][b]);
    }
    return;
  }
  __m512i done[kTokens][kBlocks];
  HOTARU_UNROLL(12)
  for (size_t t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(4)
    for (size_t b = 0; b < kBlocks; b++) done[t][b] = sums[t][b];
  }
  store(first_token, panels.block, done);
}

// The last, smaller chunk.
template <int kTokens, int kBlocks, typename Unpack, typename Store>
static inline void panel_rest_512(const PanelJob& job, const PanelPart& part, size_t first_token,
                                  const Panels<kBlocks, Unpack>& panels, const Store& store) {
  if constexpr (kTokens > 0) {
    if (job.tokens - first_token == kTokens) {
      panel_chunk_512<kTokens, false>(job, part, first_token, panels, store);
    } else {
      panel_rest_512<kTokens - 1>(job, part, first_token, panels, store);
    }
  }
}

template <int kBlocks, typename Unpack, typename Store>
static inline void panel_all_tokens_512(const PanelJob& job, const PanelPart& part,
                                        const Panels<kBlocks, Unpack>& panels, const Store& store) {
  constexpr int kTokens = kPanelTokens512<kBlocks>;
  const size_t chunks = (job.tokens + kTokens - 1) / kTokens;
  for (size_t chunk = 0; chunk < chunks; chunk++) {
    for (size_t i = panels.next_bytes * chunk / chunks; i < panels.next_bytes * (chunk + 1) / chunks; i += 64) {
      for (const void* next : panels.next) _mm_prefetch(static_cast<const char*>(next) + i, _MM_HINT_T1);
    }
    const size_t t = chunk * kTokens;
    if (job.tokens - t < kTokens) {
      panel_rest_512<kTokens - 1>(job, part, t, panels, store);
    } else if (t == 0) {
      panel_chunk_512<kTokens, true>(job, part, t, panels, store);
    } else {
      panel_chunk_512<kTokens, false>(job, part, t, panels, store);
    }
  }
}

}  // namespace hotaru
