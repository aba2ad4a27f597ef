// Attention in AVX2. vpmaddubsw saturates here (2 * 255 * 127 > 32767), so bytes are widened to s16 and multiplied by
// vpmaddwd: of four channels (or keys) 0 1 2 3 in a 32-bit lane, 0 and 2 are got by a mask or shift, 1 and 3 by a
// shift, and the left operand is stored in the same order: 0 2 1 3.
#include "kernels/attention/attention.h"
#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_256.h"

namespace hotaru {
namespace {

// out[r][n] (+)= sum over steps of left[r] . packed[n]: 16 outputs, R rows; packed as in packed.h, u8 or s8.
struct Product {
  const int16_t* left;  // [R][steps][4] s16, order 0 2 1 3
  size_t left_stride;
  const void* packed;  // [steps][16][4]
  size_t steps;
  int32_t* out;  // [R][16]
  size_t out_stride;
  const void* ahead = nullptr;  // [steps][64] asked for meanwhile
};

template <bool kSigned>
inline __m256i even_bytes(__m256i x) {
  return kSigned ? _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8) : _mm256_and_si256(x, _mm256_set1_epi16(255));
}
template <bool kSigned>
inline __m256i odd_bytes(__m256i x) {
  return kSigned ? _mm256_srai_epi16(x, 8) : _mm256_srli_epi16(x, 8);
}

template <int R, bool kSigned, bool kAccumulate, bool kPrefetch>
inline void multiply(const Product& product) {
  __m256i sum[R][2];
  HOTARU_UNROLL(4)
  for (int r = 0; r < R; r++) {
    const int32_t* out = product.out + static_cast<size_t>(r) * product.out_stride;
    sum[r][0] = kAccumulate ? load_256(out) : _mm256_setzero_si256();
    sum[r][1] = kAccumulate ? load_256(out + 8) : _mm256_setzero_si256();
  }
  const auto* packed = static_cast<const uint8_t*>(product.packed);
  const auto* ahead = static_cast<const char*>(product.ahead);
  for (size_t step = 0; step < product.steps; step++) {
    if constexpr (kPrefetch) _mm_prefetch(ahead + step * 64, _MM_HINT_T0);
    const __m256i b0 = load_256(packed + step * 64);
    const __m256i b1 = load_256(packed + step * 64 + 32);
    const __m256i even0 = even_bytes<kSigned>(b0);
    const __m256i even1 = even_bytes<kSigned>(b1);
    const __m256i odd0 = odd_bytes<kSigned>(b0);
    const __m256i odd1 = odd_bytes<kSigned>(b1);
    HOTARU_UNROLL(4)
    for (int r = 0; r < R; r++) {
      const int16_t* left = product.left + static_cast<size_t>(r) * product.left_stride + step * 4;
      const __m256i even = broadcast_32(left);
      const __m256i odd = broadcast_32(left + 2);
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(even0, even));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(even1, even));
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(odd0, odd));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(odd1, odd));
    }
  }
  HOTARU_UNROLL(4)
  for (int r = 0; r < R; r++) {
    int32_t* out = product.out + static_cast<size_t>(r) * product.out_stride;
    store_256(out, sum[r][0]);
    store_256(out + 8, sum[r][1]);
  }
}

template <bool kSigned, bool kAccumulate, bool kPrefetch>
inline void multiply_run(const Product& product, size_t rows) {
  if (rows == 4) multiply<4, kSigned, kAccumulate, kPrefetch>(product);
  if (rows == 3) multiply<3, kSigned, kAccumulate, kPrefetch>(product);
  if (rows == 2) multiply<2, kSigned, kAccumulate, kPrefetch>(product);
  if (rows == 1) multiply<1, kSigned, kAccumulate, kPrefetch>(product);
}

// `rows` rows in runs of at most 4, as even as can be: 6 = 3 + 3. The first run asks for what is ahead, a line at a
// step: all at once they would wait for one another.
template <bool kSigned, bool kAccumulate>
void multiply_rows(Product product, size_t rows) {
  for (bool is_first = true; rows > 0; is_first = false) {
    const size_t runs = (rows + 3) / 4;
    const size_t run = (rows + runs - 1) / runs;
    if (is_first && product.ahead != nullptr) {
      multiply_run<kSigned, kAccumulate, true>(product, run);
    } else {
      multiply_run<kSigned, kAccumulate, false>(product, run);
    }
    product.left += run * product.left_stride;
    product.out += run * product.out_stride;
    rows -= run;
  }
}

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

void score(const QueryBlock& block, const BlockScratch& scratch, const int16_t* queries) {
  const size_t width = block.width();
  for (size_t s = 0; s < block.keys; s += kRowsPerBlock) {
    const uint8_t* keys = block.page_keys(s / kPageTokens) + s % kPageTokens * width;
    const uint8_t* next = block.page_keys(smaller(s / kPageTokens + 1, block.pages() - 1)) + s % kPageTokens * width;
    const Product product{queries, width, keys, width / 4, scratch.scores + s, scratch.stride, next};
    multiply_rows<false, false>(product, block.rows());
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
      multiply_rows<false, false>({coefficients.whole, width, high + s * width, steps, sums, kPageTokens},
                                  block.rows());
      multiply_rows<false, true>({coefficients.high, width, low + s * width, steps, sums, kPageTokens}, block.rows());
    }
    add_bias_256(block, scratch, page);
  }
}

void weigh(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  const auto* codes = reinterpret_cast<const int16_t*>(scratch.scores);
  for (size_t i = 0; i < block.rows() * width; i++) scratch.sums[i] = 0;
  for (size_t page = 0; page < block.pages(); page++) {
    const size_t first = page * kPageTokens;
    const size_t steps = (smaller(block.keys - first, kPageTokens) + 3) / 4;
    for (size_t e = 0; e < width; e += kRowsPerBlock) {
      const int8_t* values = block.page_values(page) + e * kPageTokens;
      const int8_t* next = block.page_values(smaller(page + 1, block.pages() - 1)) + e * kPageTokens;
      const Product product{codes + first, 2 * scratch.stride, values, steps, scratch.sums + e, width, next};
      multiply_rows<true, true>(product, block.rows());
    }
  }
}

void attend(const QueryBlock& block) {
  const BlockScratch scratch = block_scratch(block);
  auto* queries = reinterpret_cast<int16_t*>(scratch.queries);
  widen_queries(block, queries);
  score(block, scratch, queries);
  if (block.splits()) add_bias(block, scratch);
  RowCodes row_codes[kBlockRows];
  code_rows_256<true>(block, scratch, row_codes);
  weigh(block, scratch);
  for (size_t row = 0; row < block.rows(); row++) {
    finish_row_256(block, row, scratch.sums + row * block.width(), row_codes[row]);
  }
}

}  // namespace

void attention_avx2(const AttentionArgs& args, Slice slice) { for_each_query_block(args, slice, attend); }

}  // namespace hotaru
