// Scores -> probability codes in 512-bit registers, shared by the AVX-512 VNNI and the AMX kernel.
#pragma once

#include "kernels/attention/softmax_256.h"
#include "kernels/requantise_512.h"

namespace hotaru {
namespace {

inline __m512i load_512(const void* at) { return _mm512_loadu_si512(at); }
inline void store_512(void* at, __m512i x) { _mm512_storeu_si512(at, x); }
inline __m256i low_half(__m512i x) { return _mm512_castsi512_si256(x); }
inline __m256i high_half(__m512i x) { return _mm512_extracti64x4_epi64(x, 1); }

// Scores are int32, or (kSplit) the bits of floats. Lanes outside of `mask` are those of a.
template <bool kSplit>
inline __m512i larger_16(__m512i a, __m512i b, uint16_t mask) {
  if constexpr (kSplit) {
    const __m512 a_floats = _mm512_castsi512_ps(a);
    return _mm512_castps_si512(_mm512_mask_max_ps(a_floats, mask, a_floats, _mm512_castsi512_ps(b)));
  }
  return _mm512_mask_max_epi32(a, mask, a, b);
}

template <bool kSplit>
inline int32_t row_maximum_512(const int32_t* scores, size_t keys) {
  __m512i most0 = _mm512_set1_epi32(scores[0]);
  __m512i most1 = most0;
  size_t s = 0;
  for (; s + 32 <= keys; s += 32) {
    most0 = larger_16<kSplit>(most0, load_512(scores + s), 0xFFFF);
    most1 = larger_16<kSplit>(most1, load_512(scores + s + 16), 0xFFFF);
  }
  const uint32_t last = (uint32_t{1} << (keys - s)) - 1;
  most0 = larger_16<kSplit>(most0, load_512(scores + s), static_cast<uint16_t>(last));
  most1 = larger_16<kSplit>(most1, load_512(scores + s + 16), static_cast<uint16_t>(last >> 16));
  const __m512i most = larger_16<kSplit>(most0, most1, 0xFFFF);
  return maximum_lane_256<kSplit>(larger_8<kSplit>(low_half(most), high_half(most)));
}

// How far 16 scores lie from their maximum, in powers of two.
template <bool kSplit>
inline __m512 distances_16(const int32_t* scores, __m512i maximum, __m512 scale) {
  const __m512i x = load_512(scores);
  if constexpr (kSplit) return _mm512_sub_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(maximum));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(x, maximum)), scale);
}

// probability_u8 of 16 scores.
template <bool kSplit>
inline __m512i probabilities_16(const int32_t* scores, __m512i maximum, __m512 scale) {
  const __m512 x = distances_16<kSplit>(scores, maximum, scale);
  const __m512 f = _mm512_reduce_ps(x, 0);  // x less the nearest integer
  __m512 p = _mm512_set1_ps(kProbabilityCoefficients[3]);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kProbabilityCoefficients[2]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kProbabilityCoefficients[1]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kProbabilityCoefficients[0]));
  return _mm512_cvtps_epi32(_mm512_scalef_ps(p, _mm512_sub_ps(x, f)));
}

// The codes of 64 keys as bytes.
template <bool kSplit>
inline __m512i codes_64(const int32_t* scores, __m512i maximum, __m512 scale) {
  const __m512i p0 = probabilities_16<kSplit>(scores, maximum, scale);
  const __m512i p1 = probabilities_16<kSplit>(scores + 16, maximum, scale);
  const __m512i p2 = probabilities_16<kSplit>(scores + 32, maximum, scale);
  const __m512i p3 = probabilities_16<kSplit>(scores + 48, maximum, scale);
  return to_64_u8(p0, p1, p2, p3);
}

// One row: codes of its keys, zeros up to the end of the block's pages.
template <bool kSplit>
inline RowCodes row_codes_512(const int32_t* scores, size_t keys, float score_scale, uint8_t* codes, size_t stride) {
  const int32_t most = row_maximum_512<kSplit>(scores, keys);
  const __m512i maximum = _mm512_set1_epi32(most);
  const __m512 scale = _mm512_set1_ps(score_scale);
  const __m512i zero = _mm512_setzero_si512();
  __m512i sum = zero;  // of eight bytes in each 64-bit lane
  size_t s = 0;
  for (; s + 64 <= keys; s += 64) {
    const __m512i p = codes_64<kSplit>(scores + s, maximum, scale);
    sum = _mm512_add_epi64(sum, _mm512_sad_epu8(p, zero));
    store_512(codes + s, p);
  }
  const uint64_t last = (uint64_t{1} << (keys - s)) - 1;
  const __m512i p = _mm512_maskz_mov_epi8(last, codes_64<kSplit>(scores + s, maximum, scale));
  sum = _mm512_add_epi64(sum, _mm512_sad_epu8(p, zero));
  store_512(codes + s, p);
  for (s += 64; s < stride; s += 64) store_512(codes + s, zero);
  const int32_t code_sum = sum_lanes_256(_mm256_add_epi32(low_half(sum), high_half(sum)));
  return {code_sum, top_of<kSplit>(most, score_scale)};
}

// The codes of all rows, from scores to codes.
inline void code_rows_512(const QueryBlock& block, const BlockScratch& scratch, RowCodes* row_codes) {
  for (size_t row = 0; row < block.rows(); row++) {
    const int32_t* scores = scratch.scores + row * scratch.stride;
    uint8_t* codes = scratch.codes + row * scratch.stride;
    const float scale = block.args->score_scale[block.head(row)];
    const size_t keys = block.keys_of(row);
    row_codes[row] = block.splits() ? row_codes_512<true>(scores, keys, scale, codes, scratch.stride)
                                    : row_codes_512<false>(scores, keys, scale, codes, scratch.stride);
  }
}

// Outputs e .. e+15.
inline __m512 finish_16(const QueryBlock& block, const RowShares& shares, const int32_t* sums, size_t e) {
  const AttentionPrefix& prefix = block.args->prefix;
  const __m512i o = _mm512_sub_epi32(load_512(sums + e), _mm512_set1_epi32(shares.offset));
  __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(o), _mm512_set1_ps(shares.scale));
  for (size_t i = 0; i < static_cast<size_t>(prefix.tokens); i++) {
    const __m512i v = _mm512_cvtepi16_epi32(load_256(block.constants(prefix.value, i) + e));
    y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(v), _mm512_set1_ps(shares.prefix[i]), y);
  }
  return y;
}

// One row's output from its weighted sums and its codes.
inline void finish_row_512(const QueryBlock& block, size_t row, const int32_t* sums, const RowCodes& codes) {
  const AttentionArgs& args = *block.args;
  if (args.output.high != nullptr) return finish_row_256(block, row, sums, codes);
  const RowShares shares = row_shares_256(block, row, codes);
  size_t e = 0;
  for (; e + 64 <= block.width(); e += 64) {
    __m512i out[4];
    HOTARU_UNROLL(4)
    for (size_t i = 0; i < 4; i++) {
      out[i] =
          requantise_16(finish_16(block, shares, sums, e + 16 * i), args.output_inverse_scale, args.output_zero_point);
    }
    store_512(args.output.low + block.element(row) + e, to_64_u8(out[0], out[1], out[2], out[3]));
  }
  finish_codes_256<false>(block, row, sums, shares, e);
}

}  // namespace
}  // namespace hotaru
