// Few tokens: weights stream from memory, and what is finished of them waits. `static inline`: see NUMERICS on weak
// symbols.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/slice.h"
#include "kernels/linear_rows_x86.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

inline constexpr size_t kWaitingSums = 128;

// How far ahead lines of a stream are asked for into L2. The products of 4-bit weights with three tokens or more fill
// the processor's window, and it asks late.
inline constexpr size_t kFarLines = 3072;
template <size_t kTokens>
inline constexpr size_t kFarInt4Lines = kTokens > 2 ? 6144 : kFarLines;

// Asks for lines further on in a stream: far ahead into L2, nearer into L1. Either alone gets 5 to 12 % less.
static inline void ask_ahead(const void* line, size_t far = kFarLines) {
  constexpr size_t kNear = 1536;
  _mm_prefetch(static_cast<const char*>(line) + far, _MM_HINT_T1);
  _mm_prefetch(static_cast<const char*>(line) + kNear, _MM_HINT_T0);
}

// sums[b][t]: 16 rows of block b for token first_token + t, a vector or its two halves -> to [blocks][T][16]
template <typename Rows, size_t kBlocks, size_t kTokens>
static inline void keep_sums(const Rows (&sums)[kBlocks][kTokens], size_t tokens, size_t first_token, int32_t* to) {
  static_assert(sizeof(Rows) == kRowsPerBlock * sizeof(int32_t));
  HOTARU_UNROLL(2)
  for (size_t b = 0; b < kBlocks; b++) {
    HOTARU_UNROLL(8)
    for (size_t t = 0; t < kTokens; t++) {
      __builtin_memcpy(to + (b * tokens + first_token + t) * kRowsPerBlock, &sums[b][t], sizeof(Rows));
    }
  }
}

// The last `rest` tokens, fewer than a chunk.
template <size_t kTokens, typename Weights, size_t kBlocks>
static inline void stream_rest(const Weights& weights, size_t tokens, size_t rest, const size_t (&block)[kBlocks],
                               int32_t* sums) {
  if constexpr (kTokens > 0) {
    if (rest == kTokens) return weights.template chunk<kTokens>(block, tokens - rest, sums);
    stream_rest<kTokens - 1>(weights, tokens, rest, block, sums);
  }
}

// All tokens with the blocks at hand: weights.chunk<N>(block, first token, sums), for N tokens, writes
// sums [blocks][T][16]. At most Weights::kChunkTokens at once, what registers hold; a second chunk finds the weights in
// the cache.
template <typename Weights, size_t kBlocks>
static inline void stream_blocks(const Weights& weights, size_t tokens, const size_t (&block)[kBlocks], int32_t* sums) {
  constexpr size_t kMost = Weights::kChunkTokens;
  size_t t = 0;
  for (; t + kMost <= tokens; t += kMost) weights.template chunk<kMost>(block, t, sums);
  stream_rest<kMost - 1>(weights, tokens, tokens - t, block, sums);
}

// kStreams streams, one through each part of the slice: more memory requests in flight than one. Offsets, scales and
// outputs are touched for many blocks at once: a few lines of other arrays between two blocks disturb the processor's
// own prefetching so much that weights come a tenth slower. T <= 64.
template <int kStreams, typename Weights>
static inline void stream_slice(const LinearOutput& to, size_t tokens, Slice::Range blocks, const Weights& weights) {
  alignas(64) int32_t sums[kWaitingSums * kRowsPerBlock];
  const size_t block_sums = tokens * kRowsPerBlock;
  const auto store = [&](size_t block, const int32_t* from) {
    for (size_t t = 0; t < tokens; t++, from += kRowsPerBlock) {
      const auto* halves = reinterpret_cast<const __m256i*>(from);
      store_8_rows(to, t, block * kRowsPerBlock, _mm256_load_si256(halves));
      store_8_rows(to, t, block * kRowsPerBlock + 8, _mm256_load_si256(halves + 1));
    }
  };
  const size_t run = (blocks.end - blocks.begin) / kStreams;
  const size_t most = kWaitingSums / (kStreams * tokens);
  for (size_t done = 0, count = 0; done < run; done += count) {
    count = run - done < most ? run - done : most;
    const size_t first = blocks.begin + done;
    for (size_t i = 0; i < count; i++) {
      size_t block[kStreams];
      for (size_t s = 0; s < kStreams; s++) block[s] = first + s * run + i;
      stream_blocks(weights, tokens, block, sums + i * kStreams * block_sums);
    }
    for (size_t s = 0; s < kStreams; s++) {
      for (size_t i = 0; i < count; i++) store(first + s * run + i, sums + (i * kStreams + s) * block_sums);
    }
  }
  for (size_t block = blocks.begin + kStreams * run; block < blocks.end; block++) {
    stream_blocks<Weights, 1>(weights, tokens, {block}, sums);
    store(block, sums);
  }
}

}  // namespace hotaru
