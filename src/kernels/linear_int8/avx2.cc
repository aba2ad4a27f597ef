// linear_int8 for AVX2. maddubs would saturate (2 * 255 * 127 > 32767), so activations (once) and weights (in passing)
// are widened to 16 bits, inputs 0 and 2 of a step (even) apart from 1 and 3 (odd), and madd_epi16 sums each pair in
// its row's int32 lane.
#include "kernels/kernel_list.h"
#include "kernels/linear_stream_x86.h"
#include "kernels/load_256.h"

namespace hotaru {
namespace {

constexpr size_t kWideTokens = 16;  // tokens whose widened activations fit the workspace
constexpr size_t kStepBytes = kRowsPerBlock * kInputsPerStep;

struct Job {
  size_t tokens, inputs, steps;
  const int16_t* input;  // [tokens, K], see widen_activations
  const int8_t* weight;  // packed
  LinearOutput to;
};

// Of 8 rows x 4 inputs.
struct Widened {
  __m256i even, odd;
};

// Rows 0..7 and 8..15 of a block.
struct BlockSums {
  __m256i low, high;
};

inline Widened widen_weights(const int8_t* from) {
  const __m256i w = load_256(from);
  // 1 * w[even] + 0 * w[odd]: sign extension in one instruction that, unlike two shifts, runs on both multiply pipes.
  return {_mm256_maddubs_epi16(_mm256_set1_epi16(1), w), _mm256_srai_epi16(w, 8)};
}

// Of every step the even two, then the odd two: each pair is one load in the loop over blocks. `count`: a multiple of
// 16.
void widen_activations(const uint8_t* from, size_t count, int16_t* to) {
  constexpr int kEvenFirst = 0b11'01'10'00;  // 0, 2, 1, 3
  for (size_t i = 0; i < count; i += 16) {
    const __m256i u = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    const __m256i low_ordered = _mm256_shufflelo_epi16(u, kEvenFirst);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_shufflehi_epi16(low_ordered, kEvenFirst));
  }
}

inline void add_products(BlockSums& sums, __m256i u, __m256i low, __m256i high) {
  sums.low = _mm256_add_epi32(sums.low, _mm256_madd_epi16(u, low));
  sums.high = _mm256_add_epi32(sums.high, _mm256_madd_epi16(u, high));
  HOTARU_IN_ORDER(sums.low);
  HOTARU_IN_ORDER(sums.high);
}

// Weights of one chunk of tokens.
struct Streamed {
  static constexpr size_t kChunkTokens = 4;

  const Job& job;

  // Each block is read front to back.
  template <size_t kTokens, size_t kBlocks>
  void chunk(const size_t (&block)[kBlocks], size_t first_token, int32_t* to) const {
    BlockSums sums[kBlocks][kTokens] = {};
    for (size_t step = 0; step < job.steps; step++) {
      const int16_t* u = job.input + first_token * job.inputs + step * kInputsPerStep;
      HOTARU_UNROLL(2)
      for (size_t b = 0; b < kBlocks; b++) {
        const int8_t* weights = job.weight + (block[b] * job.steps + step) * kStepBytes;
        ask_ahead(weights);
        const Widened low = widen_weights(weights);
        const Widened high = widen_weights(weights + 32);
        HOTARU_UNROLL(4)
        for (size_t t = 0; t < kTokens; t++) {
          add_products(sums[b][t], broadcast_32(u + t * job.inputs), low.even, high.even);
          add_products(sums[b][t], broadcast_32(u + t * job.inputs + 2), low.odd, high.odd);
        }
      }
    }
    keep_sums(sums, job.tokens, first_token, to);
  }
};

}  // namespace

void linear_int8_avx2(const LinearInt8Args& args, Slice slice) {
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  const auto all_tokens = static_cast<size_t>(args.tokens);
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  auto* wide = reinterpret_cast<int16_t*>(args.workspace);
  for (size_t first = 0; first < all_tokens; first += kWideTokens) {
    const size_t rest = all_tokens - first;
    const size_t tokens = rest < kWideTokens ? rest : kWideTokens;
    widen_activations(args.input + first * inputs, tokens * inputs, wide);
    const Job job = {
        tokens, inputs,      inputs / kInputsPerStep,
        wide,   args.weight, {outputs, args.offset, args.scale, nullptr, args.output + first * outputs, false}};
    if (tokens == 1) {
      stream_slice<2>(job.to, 1, blocks, Streamed{job});
    } else {
      stream_slice<1>(job.to, tokens, blocks, Streamed{job});
    }
  }
}

}  // namespace hotaru
