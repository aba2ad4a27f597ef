// Attention in AVX2. vpmaddubsw saturates here (2 * 255 * 127 > 32767), so bytes are widened to s16 and multiplied by
// vpmaddwd: of four channels (or keys) 0 1 2 3 in a 32-bit lane, 0 and 2 are got by a mask or shift, 1 and 3 by a
// shift, and the left operand is stored in the same order: 0 2 1 3.
#include "kernels/attention/attention.h"
#include "kernels/attention/products_256.h"
#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_256.h"

namespace hotaru {
namespace {

template <Operand kOperand>
inline __m256i even_bytes(__m256i x) {
  return kOperand == Operand::kValues ? _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8)
                                      : _mm256_and_si256(x, _mm256_set1_epi16(255));
}
template <Operand kOperand>
inline __m256i odd_bytes(__m256i x) {
  return kOperand == Operand::kValues ? _mm256_srai_epi16(x, 8) : _mm256_srli_epi16(x, 8);
}

struct Avx2 {
  using Element = int16_t;  // four channels (or keys) in the order 0 2 1 3
  static constexpr size_t kMostRows = 4;

  template <int R, Operand kOperand>
  static void add_step(__m256i (&sum)[R][2], const Element* left, size_t left_stride, __m256i b0, __m256i b1) {
    const __m256i even0 = even_bytes<kOperand>(b0);
    const __m256i even1 = even_bytes<kOperand>(b1);
    const __m256i odd0 = odd_bytes<kOperand>(b0);
    const __m256i odd1 = odd_bytes<kOperand>(b1);
    HOTARU_UNROLL(4)
    for (int r = 0; r < R; r++, left += left_stride) {
      const __m256i even = broadcast_32(left);
      const __m256i odd = broadcast_32(left + 2);
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(even0, even));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(even1, even));
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(odd0, odd));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(odd1, odd));
    }
  }
};

void widen_queries(const QueryBlock& block, int16_t* queries) {
  const size_t width = block.width();
  for (size_t row = 0; row < block.rows(); row++) {
    const int8_t* q = block.args->query + block.element(row);
    for (size_t e = 0; e < width; e += 4) {
      int16_t* to = queries + row * width + e;
      to[0] = q[e];
      to[1] = q[e + 2];
      to[2] = q[e + 1];
      to[3] = q[e + 3];
    }
  }
}

// Split keys: both planes of the coefficients in one s16 for the columns' high bytes, the high plane alone for the low.
struct WideCoefficients {
  int16_t* whole;  // [16][E] order 0 2 1 3
  int16_t* high;
};

WideCoefficients widen_coefficients(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  auto* whole = reinterpret_cast<int16_t*>(scratch.sums);
  int16_t* high = whole + kBlockRows * width;
  for (size_t row = 0; row < block.rows(); row++) {
    const int8_t* from_high = block.args->key_bias.high + block.element(row);
    const int8_t* from_low = block.args->key_bias.low + block.element(row);
    for (size_t e = 0; e < width; e++) {
      const size_t place = e % 4 == 1 ? e + 1 : e % 4 == 2 ? e - 1 : e;
      high[row * width + place] = from_high[e];
      whole[row * width + place] = static_cast<int16_t>(256 * from_high[e] + from_low[e]);
    }
  }
  return {whole, high};
}

void add_bias(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  const WideCoefficients coefficients = widen_coefficients(block, scratch);
  for (size_t page = 0; page < block.pages(); page++) {
    const uint8_t* high = block.page_columns(page);
    const uint8_t* low = high + page_side_bytes(width);
    for (size_t s = 0; s < kPageTokens; s += kRowsPerBlock) {
      int32_t* sums = scratch.bias_sums + s;
      const size_t steps = width / 4;
      multiply_rows<Avx2, Operand::kKeys, Start::kZero>(
          {coefficients.whole, width, high + s * width, steps, sums, kPageTokens}, block.rows());
      multiply_rows<Avx2, Operand::kKeys, Start::kSum>(
          {coefficients.high, width, low + s * width, steps, sums, kPageTokens}, block.rows());
    }
    add_bias_256(block, scratch, page);
  }
}

void attend(const QueryBlock& block) {
  const BlockScratch scratch = block_scratch(block);
  auto* queries = reinterpret_cast<int16_t*>(scratch.queries);
  widen_queries(block, queries);
  score_256<Avx2>(block, scratch, queries);
  if (block.splits()) add_bias(block, scratch);
  RowCodes row_codes[kBlockRows];
  code_rows_256<true>(block, scratch, row_codes);
  weigh_256<Avx2>(block, scratch, reinterpret_cast<const int16_t*>(scratch.scores), 2 * scratch.stride);
  for (size_t row = 0; row < block.rows(); row++) {
    finish_row_256(block, row, scratch.sums + row * block.width(), row_codes[row]);
  }
}

}  // namespace

void attention_avx2(const AttentionArgs& args, Slice slice) { for_each_query_block(args, slice, attend); }

}  // namespace hotaru
