// The two products of attention in 256-bit registers, for the AVX2 and the AVX-VNNI kernel: which rows go over which
// keys and values, and when the next page is asked for. How a few rows are multiplied the kernel says: a class with
//
//   Element                                                of queries and probability codes
//   kMostRows                                              whose sums fit the registers, at most 6
//   add_step<R, Operand>(sum, left, left_stride, b0, b1)   4 elements of R rows times 64 packed bytes
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_256.h"

namespace hotaru {
namespace {

// out[r][n] (+)= sum over steps of left[r] . packed[n]: 16 outputs, R rows; packed as in packed.h.
template <typename Element>
struct Product {
  const Element* left;  // [R][steps][4]
  size_t left_stride;
  const void* packed;  // [steps][16][4]
  size_t steps;
  int32_t* out;  // [R][16]
  size_t out_stride;
  const void* ahead = nullptr;  // [steps][64] asked for meanwhile
};

// What is packed: keys, u8, against queries; or values, s8, against codes.
enum class Operand { kKeys, kValues };

// What the sums start from: nothing, what is there, or 256 times that.
enum class Start { kZero, kSum, kShiftedSum };

template <Start kStart>
inline __m256i start_8(const int32_t* at) {
  if constexpr (kStart == Start::kZero) return _mm256_setzero_si256();
  if constexpr (kStart == Start::kShiftedSum) return _mm256_slli_epi32(load_256(at), 8);
  return load_256(at);
}

template <typename Kernel, int R, Operand kOperand, Start kStart, bool kPrefetch>
inline void multiply(const Product<typename Kernel::Element>& product) {
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
    Kernel::template add_step<R, kOperand>(sum, product.left + step * 4, product.left_stride,
                                           load_256(packed + step * 64), load_256(packed + step * 64 + 32));
  }
  HOTARU_UNROLL(6)
  for (int r = 0; r < R; r++) {
    int32_t* out = product.out + static_cast<size_t>(r) * product.out_stride;
    store_256(out, sum[r][0]);
    store_256(out + 8, sum[r][1]);
  }
}

template <typename Kernel, Operand kOperand, Start kStart, bool kPrefetch, int R = static_cast<int>(Kernel::kMostRows)>
inline void multiply_run(const Product<typename Kernel::Element>& product, size_t rows) {
  if (rows == R) return multiply<Kernel, R, kOperand, kStart, kPrefetch>(product);
  if constexpr (R > 1) multiply_run<Kernel, kOperand, kStart, kPrefetch, R - 1>(product, rows);
}

// `rows` rows in runs of at most kMostRows, as even as can be: 16 = 6 + 5 + 5. The first run asks for
// what is ahead, a line at a step: all at once they would wait for one another.
template <typename Kernel, Operand kOperand, Start kStart>
void multiply_rows(Product<typename Kernel::Element> product, size_t rows) {
  for (bool is_first = true; rows > 0; is_first = false) {
    const size_t runs = (rows + Kernel::kMostRows - 1) / Kernel::kMostRows;
    const size_t run = (rows + runs - 1) / runs;
    if (is_first && product.ahead != nullptr) {
      multiply_run<Kernel, kOperand, kStart, true>(product, run);
    } else {
      multiply_run<Kernel, kOperand, kStart, false>(product, run);
    }
    product.left += run * product.left_stride;
    product.out += run * product.out_stride;
    rows -= run;
  }
}

// a[s] of all keys; queries [rows, E].
template <typename Kernel>
void score_256(const QueryBlock& block, const BlockScratch& scratch, const typename Kernel::Element* queries) {
  const size_t width = block.width();
  for (size_t s = 0; s < block.keys; s += kRowsPerBlock) {
    const uint8_t* keys = block.page_keys(s / kPageTokens) + s % kPageTokens * width;
    const uint8_t* next = block.page_keys(smaller(s / kPageTokens + 1, block.pages() - 1)) + s % kPageTokens * width;
    multiply_rows<Kernel, Operand::kKeys, Start::kZero>(
        {queries, width, keys, width / 4, scratch.scores + s, scratch.stride, next}, block.rows());
  }
}

// scratch.sums from the codes [rows, stride] of all keys.
template <typename Kernel>
void weigh_256(const QueryBlock& block, const BlockScratch& scratch, const typename Kernel::Element* codes,
               size_t stride) {
  const size_t width = block.width();
  for (size_t i = 0; i < block.rows() * width; i++) scratch.sums[i] = 0;
  for (size_t page = 0; page < block.pages(); page++) {
    const size_t first = page * kPageTokens;
    const size_t steps = (smaller(block.keys - first, kPageTokens) + 3) / 4;
    for (size_t e = 0; e < width; e += kRowsPerBlock) {
      const int8_t* values = block.page_values(page) + e * kPageTokens;
      const int8_t* next = block.page_values(smaller(page + 1, block.pages() - 1)) + e * kPageTokens;
      multiply_rows<Kernel, Operand::kValues, Start::kSum>(
          {codes + first, stride, values, steps, scratch.sums + e, width, next}, block.rows());
    }
  }
}

}  // namespace
}  // namespace hotaru
