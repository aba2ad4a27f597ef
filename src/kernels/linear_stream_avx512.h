// Few tokens with AVX-512: weights stream from memory, two blocks at a time, and what is finished of them waits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/slice.h"
#include "kernels/linear_rows_avx512.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

inline constexpr size_t kFewTokens512 = 8;  // up to here weights are streamed
inline constexpr int kChunkTokens512 = 4;   // a second chunk finds the weights in the cache
inline constexpr size_t kWaitingSums512 = 128;

// Two streams, one through each half of the slice: more memory requests in flight than one. Offsets, scales and outputs
// are touched for many blocks at once: a few lines of other arrays between two blocks disturb the processor's own
// prefetching so much that weights come a tenth slower.
//
// weights.stream(block, sums) for an array of one or two blocks: sums [blocks][T][16].
template <typename Weights>
static inline void stream_slice_512(const LinearOutput& to, size_t tokens, Slice::Range blocks,
                                    const Weights& weights) {
  alignas(64) int32_t sums[kWaitingSums512 * kRowsPerBlock];
  const size_t block_sums = tokens * kRowsPerBlock;
  const auto store = [&](size_t block, const int32_t* from) {
    for (size_t t = 0; t < tokens; t++) {
      store_16_rows(to, t, block * kRowsPerBlock, _mm512_load_si512(from + t * kRowsPerBlock));
    }
  };
  const size_t half = (blocks.end - blocks.begin) / 2;
  const size_t most = kWaitingSums512 / (2 * tokens);
  for (size_t i = 0; i < half;) {
    const size_t pairs = half - i < most ? half - i : most;
    const size_t first = blocks.begin + i;
    for (size_t p = 0; p < pairs; p++) {
      weights.template stream<2>({first + p, first + half + p}, sums + 2 * p * block_sums);
    }
    for (size_t p = 0; p < pairs; p++) store(first + p, sums + 2 * p * block_sums);
    for (size_t p = 0; p < pairs; p++) store(first + half + p, sums + (2 * p + 1) * block_sums);
    i += pairs;
  }
  for (size_t block = blocks.begin + 2 * half; block < blocks.end; block++) {
    weights.template stream<1>({block}, sums);
    store(block, sums);
  }
}

}  // namespace hotaru
