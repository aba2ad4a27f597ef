// linear_int4 for AVX-VNNI (256 bits). Few tokens: nibbles (code + 8) go to dpbusd as they are, a group's sum starts at
// -8 * (sum of its activations), and is then multiplied by its multiplier. Many tokens: the multipliers are folded into
// 8-bit weights first.
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/group_sums_x86.h"
#include "kernels/linear_panel_avx_vnni.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 8;    // up to here weights are streamed; above, unpacked once
constexpr size_t kChunkTokens = 4;  // a second chunk finds the weights in the cache
constexpr size_t kPrefetchBytes = 4096;

struct Stream {
  PanelJob job;
  size_t groups;
  const uint8_t* weight;  // packed
  const int32_t* start;   // [T, K/32] -8 * sum of the group's activations
};

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

// kStreams blocks at once, each read front to back from where it lies.
template <int kTokens, int kStreams>
void stream_blocks(const Stream& stream, size_t first_token, const size_t (&block)[kStreams]) {
  const size_t inputs = stream.job.inputs;
  const uint8_t* u = stream.job.input + first_token * inputs;
  const int32_t* start = stream.start + first_token * stream.groups;
  BlockVectors sums[kStreams][kTokens] = {};
  for (size_t g = 0; g < stream.groups; g++, u += kGroupInputs) {
    for (size_t s = 0; s < kStreams; s++) {
      const uint8_t* group = stream.weight + (block[s] * stream.groups + g) * kGroupBytes;
      for (size_t line = 0; line < kGroupBytes; line += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(group + kPrefetchBytes + line), _MM_HINT_T1);
      }
      BlockVectors group_sums[kTokens];
      HOTARU_UNROLL(4)
      for (size_t t = 0; t < kTokens; t++) {
        const __m256i negated = _mm256_set1_epi32(start[t * stream.groups + g]);
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
      for (size_t t = 0; t < kTokens; t++) add_group(sums[s][t], group_sums[t], multipliers);
    }
  }
  for (size_t s = 0; s < kStreams; s++) store_block_256<kTokens>(stream.job.to, first_token, block[s], sums[s]);
}

template <int kStreams>
void stream_all_tokens(const Stream& stream, const size_t (&block)[kStreams]) {
  size_t t = 0;
  const size_t tokens = stream.job.tokens;
  for (; t + kChunkTokens <= tokens; t += kChunkTokens) stream_blocks<kChunkTokens, kStreams>(stream, t, block);
  const size_t rest = tokens - t;
  if (rest == 1) stream_blocks<1, kStreams>(stream, t, block);
  if (rest == 2) stream_blocks<2, kStreams>(stream, t, block);
  if (rest == 3) stream_blocks<3, kStreams>(stream, t, block);
}

// Two streams, one through each half of the slice: more memory requests in flight than one.
void few_rows(const Stream& stream, Slice::Range blocks) {
  const size_t half = (blocks.end - blocks.begin) / 2;
  for (size_t i = 0; i < half; i++) stream_all_tokens<2>(stream, {blocks.begin + i, blocks.begin + half + i});
  for (size_t block = blocks.begin + 2 * half; block < blocks.end; block++) stream_all_tokens<1>(stream, {block});
}

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

void many_rows(const PanelJob& job, const uint8_t* weight, Slice::Range blocks, int8_t* panel) {
  const size_t groups = job.inputs / kGroupInputs;
  const size_t block_bytes = groups * kGroupBytes;
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    const uint8_t* packed = weight + block * block_bytes;
    fold_multipliers(packed, groups, panel);
    panel_all_tokens_256(job, block, panel, packed + block_bytes, block_bytes);
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
    few_rows({job, groups, args.weight, start}, blocks);
  } else {
    many_rows(job, args.weight, blocks, reinterpret_cast<int8_t*>(args.workspace));
  }
}

}  // namespace hotaru
