// Attention in AVX-VNNI: vpdpbusd takes the u8 operand first, that is the keys against queries and the probability
// codes against values. Four channels (or keys) of a row are one broadcast 32-bit word.
#include "kernels/attention/attention.h"
#include "kernels/attention/products_256.h"
#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_256.h"

namespace hotaru {
namespace {

template <Operand kOperand>
inline __m256i dot(__m256i sum, __m256i packed, __m256i left) {
  return kOperand == Operand::kKeys ? _mm256_dpbusd_avx_epi32(sum, packed, left)
                                    : _mm256_dpbusd_avx_epi32(sum, left, packed);
}

struct AvxVnni {
  using Element = std::byte;
  static constexpr size_t kMostRows = 6;

  template <int R, Operand kOperand>
  static void add_step(__m256i (&sum)[R][2], const Element* left, size_t left_stride, __m256i b0, __m256i b1) {
    HOTARU_UNROLL(6)
    for (int r = 0; r < R; r++, left += left_stride) {
      const __m256i a = broadcast_32(left);
      sum[r][0] = dot<kOperand>(sum[r][0], b0, a);
      sum[r][1] = dot<kOperand>(sum[r][1], b1, a);
    }
  }
};

void add_bias(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  const BlockCoefficients coefficients = copy_coefficients(block, scratch, width);
  for (size_t page = 0; page < block.pages(); page++) {
    for (size_t s = 0; s < kPageTokens; s += kRowsPerBlock) {
      const uint8_t* high = block.page_columns(page) + s * width;
      Product<std::byte> product{coefficients.high, width, high, width / 4, scratch.bias_sums + s, kPageTokens};
      multiply_rows<AvxVnni, Operand::kKeys, Start::kZero>(product, block.rows());
      product.packed = high + page_side_bytes(width);
      multiply_rows<AvxVnni, Operand::kKeys, Start::kShiftedSum>(product, block.rows());
      product.left = coefficients.low;
      product.packed = high;
      multiply_rows<AvxVnni, Operand::kKeys, Start::kSum>(product, block.rows());
    }
    add_bias_256(block, scratch, page);
  }
}

void attend(const QueryBlock& block) {
  const BlockScratch scratch = block_scratch(block);
  copy_queries(block, scratch.queries, block.width());
  score_256<AvxVnni>(block, scratch, scratch.queries);
  if (block.splits()) add_bias(block, scratch);
  RowCodes row_codes[kBlockRows];
  code_rows_256<false>(block, scratch, row_codes);
  weigh_256<AvxVnni>(block, scratch, reinterpret_cast<const std::byte*>(scratch.codes), scratch.stride);
  for (size_t row = 0; row < block.rows(); row++) {
    finish_row_256(block, row, scratch.sums + row * block.width(), row_codes[row]);
  }
}

}  // namespace

void attention_avx_vnni(const AttentionArgs& args, Slice slice) { for_each_query_block(args, slice, attend); }

}  // namespace hotaru
