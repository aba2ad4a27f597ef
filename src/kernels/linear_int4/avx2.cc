// linear_int4 for AVX2. Nibbles stay unsigned (code + 8), so that maddubs is exact, and are summed over a group in 16
// bits, wrapping: a group's sum starts at -8 * (sum of its activations), and its true value, a sum of 16 products
// u * code in [-32640, 28560], fits s16, so whatever wraps on the way comes back. madd_epi16 multiplies by the group's
// multiplier and widens at once.
#include "kernels/kernel_list.h"
#include "kernels/linear_stream_x86.h"
#include "kernels/load_256.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 24;   // up to here weights are unpacked in passing; above, once per block
constexpr size_t kPanelTokens = 4;  // of many, so many at once
constexpr int kStepsPerGroup = kGroupInputs / kInputsPerStep;
constexpr size_t kStepBytes = kRowsPerBlock * kInputsPerStep;

struct Job {
  size_t tokens, inputs, groups;
  const uint8_t* input;   // [T, K]
  const uint8_t* weight;  // packed
  const int32_t* start;   // [T, K/32] two s16 each, see group_start
  LinearOutput to;
};

// Rows 0..7 and 8..15 of a block.
struct BlockSums {
  __m256i low, high;
};

// What the 16-bit sums of a group begin with: low half -8 * sum of inputs 0, 1 mod 4; high half of inputs 2, 3 mod 4.
inline int32_t group_start(const uint8_t* u) {
  const __m256i pairs = _mm256_maddubs_epi16(load_256(u), _mm256_set1_epi8(1));  // 8 x (inputs 0 + 1, inputs 2 + 3)
  __m128i sum = _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  sum = _mm_add_epi16(sum, _mm_shuffle_epi32(sum, 0x4E));
  sum = _mm_add_epi16(sum, _mm_shuffle_epi32(sum, 0xB1));
  return _mm_cvtsi128_si32(_mm_mullo_epi16(sum, _mm_set1_epi16(-8)));
}

void group_starts(const LinearInt4Args& args, int32_t* start) {
  const size_t count = static_cast<size_t>(args.tokens) * static_cast<size_t>(args.inputs) / kGroupInputs;
  for (size_t g = 0; g < count; g++) start[g] = group_start(args.input + g * kGroupInputs);
}

// The 16 multipliers of a group, each twice as s16: beside the two 16-bit sums of its row.
inline BlockSums load_multipliers(const uint8_t* multipliers) {
  const __m256i m = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(multipliers)));
  const __m256i low = _mm256_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1,  //
                                       4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
  const __m256i high = _mm256_setr_epi8(8, -1, 8, -1, 9, -1, 9, -1, 10, -1, 10, -1, 11, -1, 11, -1,  //
                                        12, -1, 12, -1, 13, -1, 13, -1, 14, -1, 14, -1, 15, -1, 15, -1);
  return {_mm256_shuffle_epi8(m, low), _mm256_shuffle_epi8(m, high)};
}

// pairs += u * q of one step; `u` holds the step's 4 inputs, 8 times.
inline void add_step(BlockSums& pairs, __m256i u, const BlockSums& nibbles) {
  pairs.low = _mm256_add_epi16(pairs.low, _mm256_maddubs_epi16(u, nibbles.low));
  pairs.high = _mm256_add_epi16(pairs.high, _mm256_maddubs_epi16(u, nibbles.high));
  HOTARU_IN_ORDER(pairs.low);
  HOTARU_IN_ORDER(pairs.high);
}

inline void add_group(BlockSums& sums, const BlockSums& pairs, const BlockSums& multipliers) {
  sums.low = _mm256_add_epi32(sums.low, _mm256_madd_epi16(pairs.low, multipliers.low));
  sums.high = _mm256_add_epi32(sums.high, _mm256_madd_epi16(pairs.high, multipliers.high));
}

inline BlockSums low_nibbles(const BlockSums& codes) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(codes.low, mask), _mm256_and_si256(codes.high, mask)};
}
inline BlockSums high_nibbles(const BlockSums& codes) {
  return low_nibbles({_mm256_srli_epi16(codes.low, 4), _mm256_srli_epi16(codes.high, 4)});
}

template <size_t kTokens>
inline void begin_group(const Job& job, size_t first_token, size_t g, BlockSums (&pairs)[kTokens]) {
  HOTARU_UNROLL(4)
  for (size_t t = 0; t < kTokens; t++) {
    const __m256i start = _mm256_set1_epi32(job.start[(first_token + t) * job.groups + g]);
    pairs[t] = {start, start};
  }
}

template <size_t kTokens>
inline void store_block(const Job& job, size_t first_token, size_t block, const BlockSums (&sums)[kTokens]) {
  HOTARU_UNROLL(4)
  for (size_t t = 0; t < kTokens; t++) {
    store_8_rows(job.to, first_token + t, block * kRowsPerBlock, sums[t].low);
    store_8_rows(job.to, first_token + t, block * kRowsPerBlock + 8, sums[t].high);
  }
}

// Weights of few tokens.
struct Streamed {
  static constexpr size_t kChunkTokens = 4;

  const Job& job;

  // Each block is read front to back.
  template <size_t kTokens, size_t kBlocks>
  void chunk(const size_t (&block)[kBlocks], size_t first_token, int32_t* to) const {
    BlockSums sums[kBlocks][kTokens] = {};
    for (size_t g = 0; g < job.groups; g++) {
      const uint8_t* u = job.input + first_token * job.inputs + g * kGroupInputs;
      HOTARU_UNROLL(2)
      for (size_t b = 0; b < kBlocks; b++) {
        const uint8_t* group = job.weight + (block[b] * job.groups + g) * kGroupBytes;
        for (size_t line = 0; line < kGroupBytes; line += 64) {
          ask_ahead(group + line, kFarInt4Lines<kTokens>);
        }
        BlockSums pairs[kTokens];
        begin_group<kTokens>(job, first_token, g, pairs);
        HOTARU_UNROLL(4)
        for (size_t i = 0; i < kStepsPerGroup / 2; i++) {
          const BlockSums codes = {load_256(group + 64 * i), load_256(group + 64 * i + 32)};
          const BlockSums even = low_nibbles(codes);
          const BlockSums odd = high_nibbles(codes);
          HOTARU_UNROLL(4)
          for (size_t t = 0; t < kTokens; t++) {
            add_step(pairs[t], broadcast_32(u + t * job.inputs + 8 * i), even);
            add_step(pairs[t], broadcast_32(u + t * job.inputs + 8 * i + 4), odd);
          }
        }
        const BlockSums multipliers = load_multipliers(group + kGroupCodeBytes);
        HOTARU_UNROLL(4)
        for (size_t t = 0; t < kTokens; t++) add_group(sums[b][t], pairs[t], multipliers);
      }
    }
    keep_sums(sums, job.tokens, first_token, to);
  }
};

// More than one token have more to do with each byte, and their sums would not fit the registers twice.
void few_rows(const Job& job, Slice::Range blocks) {
  if (job.tokens == 1) return stream_slice<2>(job.to, 1, blocks, Streamed{job});
  stream_slice<1>(job.to, job.tokens, blocks, Streamed{job});
}

// codes of one block -> panel[K/4][16 rows][4 inputs] nibbles
void unpack_block(const uint8_t* packed, size_t groups, uint8_t* panel) {
  for (size_t g = 0; g < groups; g++) {
    const uint8_t* group = packed + g * kGroupBytes;
    for (size_t i = 0; i < kStepsPerGroup / 2; i++) {
      const BlockSums codes = {load_256(group + 64 * i), load_256(group + 64 * i + 32)};
      const BlockSums even = low_nibbles(codes);
      const BlockSums odd = high_nibbles(codes);
      auto* out = reinterpret_cast<__m256i*>(panel + (g * kStepsPerGroup + 2 * i) * kStepBytes);
      _mm256_store_si256(out, even.low);
      _mm256_store_si256(out + 1, even.high);
      _mm256_store_si256(out + 2, odd.low);
      _mm256_store_si256(out + 3, odd.high);
    }
  }
}

// Many tokens: one chunk of them against an unpacked block.
template <size_t kTokens>
void panel_chunk(const Job& job, size_t first_token, size_t block, const uint8_t* panel) {
  BlockSums sums[kTokens] = {};
  const uint8_t* multipliers = job.weight + block * job.groups * kGroupBytes + kGroupCodeBytes;
  for (size_t g = 0; g < job.groups; g++) {
    const uint8_t* u = job.input + first_token * job.inputs + g * kGroupInputs;
    BlockSums pairs[kTokens];
    begin_group<kTokens>(job, first_token, g, pairs);
    HOTARU_UNROLL(8)
    for (size_t s = 0; s < kStepsPerGroup; s++) {
      const uint8_t* step = panel + (g * kStepsPerGroup + s) * kStepBytes;
      const BlockSums nibbles = {load_256(step), load_256(step + 32)};
      HOTARU_UNROLL(4)
      for (size_t t = 0; t < kTokens; t++) {
        add_step(pairs[t], broadcast_32(u + t * job.inputs + kInputsPerStep * s), nibbles);
      }
    }
    const BlockSums m = load_multipliers(multipliers + g * kGroupBytes);
    HOTARU_UNROLL(4)
    for (size_t t = 0; t < kTokens; t++) add_group(sums[t], pairs[t], m);
  }
  store_block<kTokens>(job, first_token, block, sums);
}

void many_rows(const Job& job, Slice::Range blocks, uint8_t* panel) {
  const size_t block_bytes = job.groups * kGroupBytes;
  const size_t chunks = (job.tokens + kPanelTokens - 1) / kPanelTokens;
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    const uint8_t* packed = job.weight + block * block_bytes;
    unpack_block(packed, job.groups, panel);
    for (size_t chunk = 0; chunk < chunks; chunk++) {
      // The next block comes from memory while this one is used.
      for (size_t b = block_bytes * chunk / chunks; b < block_bytes * (chunk + 1) / chunks; b += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(packed + block_bytes + b), _MM_HINT_T1);
      }
      const size_t t = chunk * kPanelTokens;
      const size_t rest = job.tokens - t;
      if (rest >= kPanelTokens) panel_chunk<kPanelTokens>(job, t, block, panel);
      if (rest == 1) panel_chunk<1>(job, t, block, panel);
      if (rest == 2) panel_chunk<2>(job, t, block, panel);
      if (rest == 3) panel_chunk<3>(job, t, block, panel);
    }
  }
}

}  // namespace

void linear_int4_avx2(const LinearInt4Args& args, Slice slice) {
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  const auto tokens = static_cast<size_t>(args.tokens);
  const size_t groups = inputs / kGroupInputs;
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (blocks.begin == blocks.end) return;
  auto* panel = reinterpret_cast<uint8_t*>(args.workspace);
  auto* start = reinterpret_cast<int32_t*>(panel + inputs * kRowsPerBlock);
  group_starts(args, start);
  const Job job = {tokens,
                   inputs,
                   groups,
                   args.input,
                   args.weight,
                   start,
                   {outputs, args.offset, args.scale, args.bias, args.output, args.add_to_output}};
  if (tokens <= kFewTokens) {
    few_rows(job, blocks);
  } else {
    many_rows(job, blocks, panel);
  }
}

}  // namespace hotaru
