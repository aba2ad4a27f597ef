// Attention in AVX-VNNI: vpdpbusd takes the u8 operand first, that is the keys against queries and the probability
// codes against values. Four channels (or keys) of a row are one broadcast 32-bit word.
#include "kernels/attention/attention.h"
#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_256.h"

namespace hotaru {
namespace {

// out[r][n] (+)= sum over steps of left[r] . packed[n]: 16 outputs, R rows; packed as in packed.h.
struct Product {
  const std::byte* left;  // [R][steps][4]
  size_t left_stride;
  const void* packed;  // [steps][16][4]
  size_t steps;
  int32_t* out;  // [R][16]
  size_t out_stride;
  const void* ahead = nullptr;  // [steps][64] asked for meanwhile
};

// What the sums start from: nothing, what is there, or 256 times that.
enum class Start { kZero, kSum, kShiftedSum };

template <Start kStart>
inline __m256i start_8(const int32_t* at) {
  if constexpr (kStart == Start::kZero) return _mm256_setzero_si256();
  if constexpr (kStart == Start::kShiftedSum) return _mm256_slli_epi32(load_256(at), 8);
  return load_256(at);
}

// kLeftSigned: queries against keys; otherwise codes against values.
template <bool kLeftSigned>
inline __m256i dot(__m256i sum, __m256i packed, __m256i left) {
  return kLeftSigned ? _mm256_dpbusd_avx_epi32(sum, packed, left) : _mm256_dpbusd_avx_epi32(sum, left, packed);
}

template <int R, bool kLeftSigned, Start kStart, bool kPrefetch>
inline void multiply(const Product& product) {
  __m256i sum[R][2];
  HOTARU_UNROLL(6)
  for (int r = 0; r < R; r++) {
    const int32_t* out = product.out + static_cast<size_t>(r) * product.out_stride;
    sum[r][0] = start_8<kStart>(out);
    sum[r][1] = start_8<kStart>(out + 8);
  }
  const auto* packed = static_cast<const uint8_t*>(product.packed);
  const auto* ahead = static_cast<const char*>(product.ahead);
  for (size_t step = 0; step < product.steps; step++) {
    if constexpr (kPrefetch) _mm_prefetch(ahead + step * 64, _MM_HINT_T0);
    const __m256i b0 = load_256(packed + step * 64);
    const __m256i b1 = load_256(packed + step * 64 + 32);
    HOTARU_UNROLL(6)
    for (int r = 0; r < R; r++) {
      const __m256i a = broadcast_32(product.left + static_cast<size_t>(r) * product.left_stride + step * 4);
      sum[r][0] = dot<kLeftSigned>(sum[r][0], b0, a);
      sum[r][1] = dot<kLeftSigned>(sum[r][1], b1, a);
    }
  }
  HOTARU_UNROLL(6)
  for (int r = 0; r < R; r++) {
    int32_t* out = product.out + static_cast<size_t>(r) * product.out_stride;
    store_256(out, sum[r][0]);
    store_256(out + 8, sum[r][1]);
  }
}

template <bool kLeftSigned, Start kStart, bool kPrefetch>
inline void multiply_run(const Product& product, size_t rows) {
  if (rows == 6) multiply<6, kLeftSigned, kStart, kPrefetch>(product);
  if (rows == 5) multiply<5, kLeftSigned, kStart, kPrefetch>(product);
  if (rows == 4) multiply<4, kLeftSigned, kStart, kPrefetch>(product);
  if (rows == 3) multiply<3, kLeftSigned, kStart, kPrefetch>(product);
  if (rows == 2) multiply<2, kLeftSigned, kStart, kPrefetch>(product);
  if (rows == 1) multiply<1, kLeftSigned, kStart, kPrefetch>(product);
}

// `rows` rows in runs of at most 6, as even as can be: 16 = 6 + 5 + 5. The first run asks for what is ahead, a line at
// a step: all at once they would wait for one another.
template <bool kLeftSigned, Start kStart>
void multiply_rows(Product product, size_t rows) {
  for (bool is_first = true; rows > 0; is_first = false) {
    const size_t runs = (rows + 5) / 6;
    const size_t run = (rows + runs - 1) / runs;
    if (is_first && product.ahead != nullptr) {
      multiply_run<kLeftSigned, kStart, true>(product, run);
    } else {
      multiply_run<kLeftSigned, kStart, false>(product, run);
    }
    product.left += run * product.left_stride;
    product.out += run * product.out_stride;
    rows -= run;
  }
}

void score(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  for (size_t s = 0; s < block.keys; s += kRowsPerBlock) {
    const uint8_t* keys = block.page_keys(s / kPageTokens) + s % kPageTokens * width;
    const uint8_t* next = block.page_keys(smaller(s / kPageTokens + 1, block.pages() - 1)) + s % kPageTokens * width;
    const Product product{scratch.queries, width, keys, width / 4, scratch.scores + s, scratch.stride, next};
    multiply_rows<true, Start::kZero>(product, block.rows());
  }
}

void add_bias(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  const BlockCoefficients coefficients = copy_coefficients(block, scratch, width);
  for (size_t page = 0; page < block.pages(); page++) {
    for (size_t s = 0; s < kPageTokens; s += kRowsPerBlock) {
      const uint8_t* high = block.page_columns(page) + s * width;
      Product product{coefficients.high, width, high, width / 4, scratch.bias_sums + s, kPageTokens};
      multiply_rows<true, Start::kZero>(product, block.rows());
      product.packed = high + page_side_bytes(width);
      multiply_rows<true, Start::kShiftedSum>(product, block.rows());
      product.left = coefficients.low;
      product.packed = high;
      multiply_rows<true, Start::kSum>(product, block.rows());
    }
    add_bias_256(block, scratch, page);
  }
}

void weigh(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  const auto* codes = reinterpret_cast<const std::byte*>(scratch.codes);
  for (size_t i = 0; i < block.rows() * width; i++) scratch.sums[i] = 0;
  for (size_t page = 0; page < block.pages(); page++) {
    const size_t first = page * kPageTokens;
    const size_t steps = (smaller(block.keys - first, kPageTokens) + 3) / 4;
    for (size_t e = 0; e < width; e += kRowsPerBlock) {
      const int8_t* values = block.page_values(page) + e * kPageTokens;
      const int8_t* next = block.page_values(smaller(page + 1, block.pages() - 1)) + e * kPageTokens;
      const Product product{codes + first, scratch.stride, values, steps, scratch.sums + e, width, next};
      multiply_rows<false, Start::kSum>(product, block.rows());
    }
  }
}

void attend(const QueryBlock& block) {
  const BlockScratch scratch = block_scratch(block);
  copy_queries(block, scratch.queries, block.width());
  score(block, scratch);
  if (block.splits()) add_bias(block, scratch);
  RowCodes row_codes[kBlockRows];
  code_rows_256<false>(block, scratch, row_codes);
  weigh(block, scratch);
  for (size_t row = 0; row < block.rows(); row++) {
    finish_row_256(block, row, scratch.sums + row * block.width(), row_codes[row]);
  }
}

}  // namespace

void attention_avx_vnni(const AttentionArgs& args, Slice slice) { for_each_query_block(args, slice, attend); }

}  // namespace hotaru
