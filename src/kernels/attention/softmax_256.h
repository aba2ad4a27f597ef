// The float part of attention in 256-bit registers, shared by the AVX2 and the AVX-VNNI kernel: scores -> probability
// codes, and weighted sums -> output.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/probability.h"
#include "kernels/attention/query_block.h"
#include "kernels/load_256.h"
#include "kernels/requantise_256.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {
namespace {

inline void store_256(void* at, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(at), x); }

// Ones (all bits) in the lanes first .. first+7 that lie below `count`.
inline __m256i lanes_below(size_t count, int first) {
  const __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}

// Scores are int32, or (kSplit) the bits of floats.
template <bool kSplit>
inline __m256i larger_8(__m256i a, __m256i b) {
  if constexpr (kSplit) return _mm256_castps_si256(_mm256_max_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
  return _mm256_max_epi32(a, b);
}
template <bool kSplit>
inline __m128i larger_4(__m128i a, __m128i b) {
  if constexpr (kSplit) return _mm_castps_si128(_mm_max_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
  return _mm_max_epi32(a, b);
}

template <bool kSplit>
inline int32_t maximum_lane_256(__m256i x) {
  __m128i half = larger_4<kSplit>(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  half = larger_4<kSplit>(half, _mm_shuffle_epi32(half, 0x4E));
  half = larger_4<kSplit>(half, _mm_shuffle_epi32(half, 0xB1));
  return _mm_cvtsi128_si32(half);
}

template <bool kSplit>
inline int32_t row_maximum_256(const int32_t* scores, size_t keys) {
  __m256i most0 = _mm256_set1_epi32(scores[0]);
  __m256i most1 = most0;
  size_t s = 0;
  for (; s + 16 <= keys; s += 16) {
    most0 = larger_8<kSplit>(most0, load_256(scores + s));
    most1 = larger_8<kSplit>(most1, load_256(scores + s + 8));
  }
  const __m256i tail0 = _mm256_blendv_epi8(most0, load_256(scores + s), lanes_below(keys - s, 0));
  const __m256i tail1 = _mm256_blendv_epi8(most1, load_256(scores + s + 8), lanes_below(keys - s, 8));
  return maximum_lane_256<kSplit>(larger_8<kSplit>(larger_8<kSplit>(most0, most1), larger_8<kSplit>(tail0, tail1)));
}

inline int32_t sum_lanes_256(__m256i x) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
  return _mm_cvtsi128_si32(half);
}

// How far 8 scores lie from their maximum, in powers of two.
template <bool kSplit>
inline __m256 distances_8(const int32_t* scores, __m256i maximum, __m256 scale) {
  const __m256i x = load_256(scores);
  if constexpr (kSplit) return _mm256_sub_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(maximum));
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(x, maximum)), scale);
}

// probability_u8 of 8 scores.
template <bool kSplit>
inline __m256i probabilities_8(const int32_t* scores, __m256i maximum, __m256 scale) {
  const __m256 shift = _mm256_set1_ps(kRoundingShift);
  __m256 x = distances_8<kSplit>(scores, maximum, scale);
  x = _mm256_max_ps(x, _mm256_set1_ps(kProbabilityFloor));
  const __m256 shifted = _mm256_add_ps(x, shift);
  const __m256 f = _mm256_sub_ps(x, _mm256_sub_ps(shifted, shift));
  __m256 p = _mm256_set1_ps(kProbabilityCoefficients[3]);
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kProbabilityCoefficients[2]));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kProbabilityCoefficients[1]));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kProbabilityCoefficients[0]));
  const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
  return _mm256_cvtps_epi32(_mm256_castsi256_ps(bits));
}

// Codes of keys 0..7 and 8..15 to memory: as bytes, or (kWide) as s16 in the order 0 2 1 3 inside each four keys.
template <bool kWide>
inline void store_codes(void* at, size_t s, __m256i low, __m256i high) {
  if constexpr (kWide) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,  //
                                           0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    store_256(static_cast<int16_t*>(at) + s, _mm256_shuffle_epi8(words, order));
  } else {
    store_16_u8(static_cast<uint8_t*>(at) + s, low, high);
  }
}

// What a row's keys came to.
struct RowCodes {
  int32_t sum;  // of their codes
  float top;    // their largest score, in powers of two
};

template <bool kSplit>
inline float top_of(int32_t most, float score_scale) {
  return kSplit ? __builtin_bit_cast(float, most) : static_cast<float>(most) * score_scale;
}

// One row: codes of its keys, zeros up to the end of the row's stride. With kWide the codes may take the place of the
// scores: they are narrower and each is written after its score was read.
template <bool kWide, bool kSplit>
inline RowCodes row_codes_256(const int32_t* scores, size_t keys, float score_scale, void* codes, size_t stride) {
  const int32_t most = row_maximum_256<kSplit>(scores, keys);
  const __m256i maximum = _mm256_set1_epi32(most);
  const __m256 scale = _mm256_set1_ps(score_scale);
  __m256i sum = _mm256_setzero_si256();
  size_t s = 0;
  for (; s + 16 <= keys; s += 16) {
    const __m256i low = probabilities_8<kSplit>(scores + s, maximum, scale);
    const __m256i high = probabilities_8<kSplit>(scores + s + 8, maximum, scale);
    sum = _mm256_add_epi32(sum, _mm256_add_epi32(low, high));
    store_codes<kWide>(codes, s, low, high);
  }
  const __m256i low = _mm256_and_si256(probabilities_8<kSplit>(scores + s, maximum, scale), lanes_below(keys - s, 0));
  const __m256i high =
      _mm256_and_si256(probabilities_8<kSplit>(scores + s + 8, maximum, scale), lanes_below(keys - s, 8));
  sum = _mm256_add_epi32(sum, _mm256_add_epi32(low, high));
  store_codes<kWide>(codes, s, low, high);
  for (s += 16; s < stride; s += 16) store_codes<kWide>(codes, s, _mm256_setzero_si256(), _mm256_setzero_si256());
  return {sum_lanes_256(sum), top_of<kSplit>(most, score_scale)};
}

// The codes of all rows, from scores to `codes` [16, stride].
template <bool kWide>
inline void code_rows_256(const QueryBlock& block, const BlockScratch& scratch, RowCodes* row_codes) {
  for (size_t row = 0; row < block.rows(); row++) {
    int32_t* scores = scratch.scores + row * scratch.stride;
    void* codes = kWide ? static_cast<void*>(scores) : scratch.codes + row * scratch.stride;
    const float scale = block.args->score_scale[block.head(row)];
    const size_t keys = block.keys_of(row);
    row_codes[row] = block.splits() ? row_codes_256<kWide, true>(scores, keys, scale, codes, scratch.stride)
                                    : row_codes_256<kWide, false>(scores, keys, scale, codes, scratch.stride);
  }
}

// Split keys: scores a[s] of a page become the bits of x[s], with c[s] from scratch.bias_sums.
inline void add_bias_256(const QueryBlock& block, const BlockScratch& scratch, size_t page) {
  for (size_t row = 0; row < block.rows(); row++) {
    int32_t* scores = scratch.scores + row * scratch.stride + page * kPageTokens;
    const int32_t* sums = scratch.bias_sums + row * kPageTokens;
    const __m256 score_scale = _mm256_set1_ps(block.args->score_scale[block.head(row)]);
    const __m256 bias_scale = _mm256_set1_ps(block.args->key_bias.scale[block.head(row)]);
    for (size_t s = 0; s < kPageTokens; s += 8) {
      const __m256 score = _mm256_mul_ps(_mm256_cvtepi32_ps(load_256(scores + s)), score_scale);
      const __m256 x = _mm256_fmadd_ps(_mm256_cvtepi32_ps(load_256(sums + s)), bias_scale, score);
      store_256(scores + s, _mm256_castps_si256(x));
    }
  }
}

// The exact sum of the row's query times a prefix token's key.
inline int32_t prefix_sum_256(const QueryBlock& block, size_t row, const int16_t* key) {
  const int8_t* query = block.args->query + block.element(row);
  __m256i sum = _mm256_setzero_si256();
  for (size_t e = 0; e < block.width(); e += 16) {
    const __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query + e)));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(q, load_256(key + e)));
  }
  return sum_lanes_256(sum);
}

// c of the row's coefficients and a prefix token's columns.
inline int32_t prefix_bias_sum_256(const QueryBlock& block, size_t row, const int16_t* columns) {
  const size_t first = block.element(row);
  const auto* high = reinterpret_cast<const __m128i*>(block.args->key_bias.high + first);
  const auto* low = reinterpret_cast<const __m128i*>(block.args->key_bias.low + first);
  __m256i sum = _mm256_setzero_si256();
  for (size_t i = 0; i < block.width() / 16; i++) {
    const __m256i column = load_256(columns + i * 16);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(high + i)), column));
    const __m256i column_high = _mm256_srli_epi16(column, 8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(low + i)), column_high));
  }
  return sum_lanes_256(sum);
}

// How a row's output comes from its sums: y = (sum - offset) * scale, then fma(prefix value, share, y).
struct RowShares {
  int32_t offset;
  float scale;
  float prefix[kMaxPrefixTokens];
};

inline RowShares row_shares_256(const QueryBlock& block, size_t row, const RowCodes& codes) {
  const AttentionArgs& args = *block.args;
  const auto tokens = static_cast<size_t>(args.prefix.tokens);
  RowShares shares;
  shares.offset = args.value_zero_point[block.kv_head] * codes.sum;
  float total = static_cast<float>(codes.sum);
  for (size_t i = 0; i < tokens; i++) {
    const int32_t sum = prefix_sum_256(block, row, block.constants(args.prefix.key, i));
    float score = static_cast<float>(sum) * args.prefix.score_scale[block.head(row)];
    if (block.splits()) {
      const int32_t c = prefix_bias_sum_256(block, row, args.key_bias.prefix_columns + i * block.width());
      score = __builtin_fmaf(static_cast<float>(c), args.key_bias.scale[block.head(row)], score);
    }
    shares.prefix[i] = prefix_weight(score - codes.top);
    total = total + shares.prefix[i];
  }
  for (size_t i = 0; i < tokens; i++) {
    shares.prefix[i] = shares.prefix[i] * args.prefix.value_scale[block.kv_head] / total;
  }
  shares.scale = args.value_scale[block.kv_head] / total;
  return shares;
}

// Outputs e .. e+7.
inline __m256 finish_8(const QueryBlock& block, const RowShares& shares, const int32_t* sums, size_t e) {
  const AttentionPrefix& prefix = block.args->prefix;
  const __m256i o = _mm256_sub_epi32(load_256(sums + e), _mm256_set1_epi32(shares.offset));
  __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(o), _mm256_set1_ps(shares.scale));
  for (size_t i = 0; i < static_cast<size_t>(prefix.tokens); i++) {
    const int16_t* value = block.constants(prefix.value, i) + e;
    const __m256i v = _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(value)));
    y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(v), _mm256_set1_ps(shares.prefix[i]), y);
  }
  return y;
}

// The outputs from e on.
template <bool kWide>
inline void finish_codes_256(const QueryBlock& block, size_t row, const int32_t* sums, const RowShares& shares,
                             size_t e) {
  const AttentionArgs& args = *block.args;
  const Requantise256 to = requantise_code_256<kWide>(args.output_inverse_scale, args.output_zero_point);
  const CodePlanes out = planes_from(args.output, block.element(row));
  for (; e < block.width(); e += 16) {
    const __m256i first = requantise_8(finish_8(block, shares, sums, e), to);
    store_16_codes<kWide>(out, e, first, requantise_8(finish_8(block, shares, sums, e + 8), to));
  }
}

// One row's output from its weighted sums and its codes.
inline void finish_row_256(const QueryBlock& block, size_t row, const int32_t* sums, const RowCodes& codes) {
  const RowShares shares = row_shares_256(block, row, codes);
  if (block.args->output.high != nullptr) return finish_codes_256<true>(block, row, sums, shares, 0);
  finish_codes_256<false>(block, row, sums, shares, 0);
}

}  // namespace
}  // namespace hotaru
