// linear_int8 for AVX2. maddubs would saturate (2 * 255 * 127 > 32767), so weights and activations are widened to 16
// bits, inputs 0 and 2 of a step (even) apart from 1 and 3 (odd), and madd_epi16 sums each pair in its row's int32
// lane.
#include "kernels/kernel_list.h"
#include "kernels/linear_rows_x86.h"

namespace hotaru {
namespace {

constexpr size_t kChunkTokens = 4;  // tokens whose sums fit the registers
constexpr size_t kStepBytes = kRowsPerBlock * kInputsPerStep;
constexpr size_t kPrefetchBytes = 4096;

struct Job {
  size_t tokens, inputs, steps;
  const uint8_t* input;  // [T, K]
  const int8_t* weight;  // packed
  LinearOutput to;
};

// The 16-bit halves of 8 rows x 4 inputs, or of 4 activations repeated 8 times.
struct Widened {
  __m256i even, odd;
};

// Rows 0..7 and 8..15 of a block.
struct BlockSums {
  __m256i low, high;
};

inline Widened widen_weights(const int8_t* from) {
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  // 1 * w[even] + 0 * w[odd]: sign extension in one instruction that, unlike two shifts, runs on both multiply pipes.
  return {_mm256_maddubs_epi16(_mm256_set1_epi16(1), w), _mm256_srai_epi16(w, 8)};
}

inline Widened widen_activations(const uint8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  const __m256i u = _mm256_set1_epi32(four);
  return {_mm256_and_si256(u, _mm256_set1_epi16(255)), _mm256_srli_epi16(u, 8)};
}

inline void add_products(__m256i& sums, const Widened& u, const Widened& w) {
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(u.even, w.even));
  HOTARU_IN_ORDER(sums);
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(u.odd, w.odd));
  HOTARU_IN_ORDER(sums);
}

// kStreams blocks at once, each read front to back, times kTokens tokens.
template <int kTokens, int kStreams>
void stream_blocks(const Job& job, size_t first_token, const size_t (&block)[kStreams]) {
  BlockSums sums[kStreams][kTokens] = {};
  const uint8_t* u = job.input + first_token * job.inputs;
  for (size_t step = 0; step < job.steps; step++) {
    Widened activations[kTokens];
    HOTARU_UNROLL(4)
    for (size_t t = 0; t < kTokens; t++) {
      activations[t] = widen_activations(u + t * job.inputs + step * kInputsPerStep);
    }
    HOTARU_UNROLL(2)
    for (size_t s = 0; s < kStreams; s++) {
      const int8_t* weights = job.weight + (block[s] * job.steps + step) * kStepBytes;
      _mm_prefetch(reinterpret_cast<const char*>(weights + kPrefetchBytes), _MM_HINT_T1);
      const Widened low = widen_weights(weights);
      const Widened high = widen_weights(weights + 32);
      HOTARU_UNROLL(4)
      for (size_t t = 0; t < kTokens; t++) {
        add_products(sums[s][t].low, activations[t], low);
        add_products(sums[s][t].high, activations[t], high);
      }
    }
  }
  HOTARU_UNROLL(2)
  for (size_t s = 0; s < kStreams; s++) {
    HOTARU_UNROLL(4)
    for (size_t t = 0; t < kTokens; t++) {
      store_8_rows(job.to, first_token + t, block[s] * kRowsPerBlock, sums[s][t].low);
      store_8_rows(job.to, first_token + t, block[s] * kRowsPerBlock + 8, sums[s][t].high);
    }
  }
}

// One token: two streams, one through each half of the slice: more memory requests in flight than one.
void one_token(const Job& job, Slice::Range blocks) {
  const size_t half = (blocks.end - blocks.begin) / 2;
  for (size_t i = 0; i < half; i++) stream_blocks<1, 2>(job, 0, {blocks.begin + i, blocks.begin + half + i});
  for (size_t block = blocks.begin + 2 * half; block < blocks.end; block++) stream_blocks<1, 1>(job, 0, {block});
}

// More: a block comes from memory for the first chunk of tokens and from the cache for the others.
void all_tokens(const Job& job, size_t block) {
  size_t t = 0;
  for (; t + kChunkTokens <= job.tokens; t += kChunkTokens) stream_blocks<kChunkTokens, 1>(job, t, {block});
  const size_t rest = job.tokens - t;
  if (rest == 1) stream_blocks<1, 1>(job, t, {block});
  if (rest == 2) stream_blocks<2, 1>(job, t, {block});
  if (rest == 3) stream_blocks<3, 1>(job, t, {block});
}

}  // namespace

void linear_int8_avx2(const LinearInt8Args& args, Slice slice) {
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  const Job job = {static_cast<size_t>(args.tokens),
                   inputs,
                   inputs / kInputsPerStep,
                   args.input,
                   args.weight,
                   {outputs, args.offset, args.scale, nullptr, args.output, false}};
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (job.tokens == 1) {
    one_token(job, blocks);
  } else {
    for (size_t block = blocks.begin; block < blocks.end; block++) all_tokens(job, block);
  }
}

}  // namespace hotaru
