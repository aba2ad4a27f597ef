// linear_int4 for AVX-VNNI (256 bits). Few tokens: nibbles (code + 8) go to dpbusd as they are, a group's sum starts at
// -8 * (sum of its activations), and is then multiplied by its multiplier. Many tokens: the multipliers are folded into
// 8-bit weights first.
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/group_sums_x86.h"
#include "kernels/linear_panel_avx_vnni.h"
#include "kernels/linear_stream_x86.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 8;  // up to here weights are streamed; above, unpacked once

inline BlockVectors low_nibbles(const BlockVectors& codes) {
  const __m256i nibble = _mm256_set1_epi8(15);
  return {_mm256_and_si256(codes.low, nibble), _mm256_and_si256(codes.high, nibble)};
}
inline BlockVectors high_nibbles(const BlockVectors& codes) {
  return low_nibbles({_mm256_srli_epi16(codes.low, 4), _mm256_srli_epi16(codes.high, 4)});
}

inline BlockVectors load_multipliers(const uint8_t* group) {
  const auto* low = reinterpret_cast<const __m128i*>(group + kGroupCodeBytes);
  const auto* high = reinterpret_cast<const __m128i*>(group + kGroupCodeBytes + 8);
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(low)), _mm256_cvtepu8_epi32(_mm_loadl_epi64(high))};
}

inline void add_group(BlockVectors& sums, const BlockVectors& group, const BlockVectors& multipliers) {
  sums.low = _mm256_add_epi32(sums.low, _mm256_mullo_epi32(group.low, multipliers.low));
  sums.high = _mm256_add_epi32(sums.high, _mm256_mullo_epi32(group.high, multipliers.high));
}

// Weights of few tokens.
struct Streamed {
  static constexpr size_t kChunkTokens = 4;

  const PanelJob& job;
  size_t groups;
  const uint8_t* weight;  // packed
  const int32_t* start;   // [T, K/32] -8 * sum of the group's activations

  // Each block is read front to back.
  template <size_t kTokens, size_t kBlocks>
  void chunk(const size_t (&block)[kBlocks], size_t first_token, int32_t* to) const {
    const size_t inputs = job.inputs;
    const uint8_t* u = job.input + first_token * inputs;
    const int32_t* first = start + first_token * groups;
    BlockVectors sums[kBlocks][kTokens] = {};
    for (size_t g = 0; g < groups; g++, u += kGroupInputs) {
      for (size_t b = 0; b < kBlocks; b++) {
        const uint8_t* group = weight + (block[b] * groups + g) * kGroupBytes;
        for (size_t line = 0; line < kGroupBytes; line += 64) {
          ask_ahead(group + line, kFarInt4Lines<kTokens>);
        }
        BlockVectors group_sums[kTokens];
        HOTARU_UNROLL(4)
        for (size_t t = 0; t < kTokens; t++) {
          const __m256i negated = _mm256_set1_epi32(first[t * groups + g]);
          group_sums[t] = {negated, negated};
        }
        HOTARU_UNROLL(4)
        for (size_t i = 0; i < 4; i++) {
          const BlockVectors codes = load_block_step(group + 64 * i);
          const BlockVectors even = low_nibbles(codes);
          const BlockVectors odd = high_nibbles(codes);
          HOTARU_UNROLL(4)
          for (size_t t = 0; t < kTokens; t++) {
            add_products(group_sums[t], broadcast_32(u + t * inputs + 8 * i), even);
            add_products(group_sums[t], broadcast_32(u + t * inputs + 8 * i + 4), odd);
          }
        }
        const BlockVectors multipliers = load_multipliers(group);
        HOTARU_UNROLL(4)
        for (size_t t = 0; t < kTokens; t++) add_group(sums[b][t], group_sums[t], multipliers);
      }
    }
    keep_sums(sums, job.tokens, first_token, to);
  }
};

// One 16-bit product is two 8-bit ones: (n0 + 256 n1) * m, and n0 * m <= 225 carries nothing over. `multiplier` holds
// every row's twice; 8 * m takes the nibbles' offset away again.
inline void fold_step(int8_t* out, const BlockVectors& nibbles, const BlockVectors& multiplier) {
  const __m256i eights = _mm256_set1_epi16(0x0808);
  const __m256i low = _mm256_mullo_epi16(nibbles.low, multiplier.low);
  const __m256i high = _mm256_mullo_epi16(nibbles.high, multiplier.high);
  auto* halves = reinterpret_cast<__m256i*>(out);
  _mm256_store_si256(halves, _mm256_sub_epi8(low, _mm256_mullo_epi16(multiplier.low, eights)));
  _mm256_store_si256(halves + 1, _mm256_sub_epi8(high, _mm256_mullo_epi16(multiplier.high, eights)));
}

// packed: one block -> panel[K/4][16 rows][4 inputs] of m * q, s8
void fold_multipliers(const uint8_t* packed, size_t groups, int8_t* panel) {
  for (size_t g = 0; g < groups; g++) {
    const uint8_t* group = packed + g * kGroupBytes;
    const BlockVectors m = load_multipliers(group);
    const BlockVectors twice = {_mm256_or_si256(m.low, _mm256_slli_epi32(m.low, 16)),
                                _mm256_or_si256(m.high, _mm256_slli_epi32(m.high, 16))};
    for (size_t i = 0; i < 4; i++) {
      const BlockVectors codes = load_block_step(group + 64 * i);
      int8_t* out = panel + (g * 8 + 2 * i) * 64;
      fold_step(out, low_nibbles(codes), twice);
      fold_step(out + 64, high_nibbles(codes), twice);
    }
  }
}

// Inputs of a panel: 16 KB of a block stay in any L1 beside the tokens that go by.
constexpr size_t kPanelInputs = 1024;

void many_rows(const PanelJob& job, const uint8_t* weight, Slice::Range blocks, std::byte* workspace) {
  const size_t groups = job.inputs / kGroupInputs;
  const size_t parts = (job.inputs + kPanelInputs - 1) / kPanelInputs;
  auto* panel = reinterpret_cast<int8_t*>(workspace);
  auto* sums = reinterpret_cast<int32_t*>(panel + kPanelInputs * kRowsPerBlock);
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    const uint8_t* packed = weight + block * groups * kGroupBytes;
    for (size_t p = 0; p < parts; p++) {
      const size_t begin = groups * p / parts;
      const size_t end = groups * (p + 1) / parts;
      fold_multipliers(packed + begin * kGroupBytes, end - begin, panel);
      panel_all_tokens_256(job, {begin * kGroupInputs, end * kGroupInputs, sums},
                           {block, panel, packed + end * kGroupBytes, (groups / parts + 1) * kGroupBytes});
    }
  }
}

}  // namespace

void linear_int4_avx_vnni(const LinearInt4Args& args, Slice slice) {
  const auto outputs = static_cast<size_t>(args.outputs);
  const PanelJob job = {static_cast<size_t>(args.tokens),
                        static_cast<size_t>(args.inputs),
                        args.input,
                        {outputs, args.offset, args.scale, args.bias, args.output, args.add_to_output}};
  const size_t groups = job.inputs / kGroupInputs;
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (job.tokens <= kFewTokens) {
    auto* start = reinterpret_cast<int32_t*>(args.workspace);
    negated_group_sums(args.input, job.tokens * groups, start);
    const Streamed weights = {job, groups, args.weight, start};
    if (job.tokens <= Streamed::kChunkTokens) {
      stream_slice<2>(job.to, job.tokens, blocks, weights);
    } else {  // the second chunk finds one block in L1, but not two
      stream_slice<1>(job.to, job.tokens, blocks, weights);
    }
  } else {
    many_rows(job, args.weight, blocks, args.workspace);
  }
}

}  // namespace hotaru
