// Attention in AVX-512 VNNI: up to 6 rows against 64 keys (or channels), 24 accumulators; vpdpbusd takes the u8 operand
// first, that is the keys against queries and the probability codes against values.
#include "kernels/attention/attention.h"
#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_512.h"

namespace hotaru {
namespace {

constexpr size_t kMostRows = 6;

// R rows of int32, N times 16 of them, in registers.
template <int R, int N>
struct Sums {
  __m512i at[R][N];
};

template <int R, int N>
inline void clear(Sums<R, N>& sums) {
  HOTARU_UNROLL(6)
  for (int r = 0; r < R; r++) {
    HOTARU_UNROLL(4)
    for (int n = 0; n < N; n++) sums.at[r][n] = _mm512_setzero_si512();
  }
}

template <int R, int N>
inline void shift_left_8(Sums<R, N>& sums) {
  HOTARU_UNROLL(6)
  for (int r = 0; r < R; r++) {
    HOTARU_UNROLL(4)
    for (int n = 0; n < N; n++) sums.at[r][n] = _mm512_slli_epi32(sums.at[r][n], 8);
  }
}

template <int R, int N>
inline void store(const Sums<R, N>& sums, int32_t* out, size_t stride) {
  HOTARU_UNROLL(6)
  for (int r = 0; r < R; r++) {
    HOTARU_UNROLL(4)
    for (int n = 0; n < N; n++) store_512(out + static_cast<size_t>(r) * stride + n * 16, sums.at[r][n]);
  }
}

inline __m512i broadcast_word(const std::byte* at) {
  int32_t word;
  __builtin_memcpy(&word, at, sizeof word);
  return _mm512_set1_epi32(word);
}

// One step of 4 channels (keys): left is 4 bytes of each row, packed N blocks of 64 bytes that are block_bytes apart.
template <int R, int N, bool kLeftSigned>
inline void add_step(Sums<R, N>& sums, const std::byte* left, size_t left_stride, const void* packed,
                     size_t block_bytes) {
  __m512i b[N];
  HOTARU_UNROLL(4)
  for (size_t n = 0; n < N; n++) b[n] = load_512(static_cast<const std::byte*>(packed) + n * block_bytes);
  HOTARU_UNROLL(6)
  for (int r = 0; r < R; r++) {
    const __m512i a = broadcast_word(left + static_cast<size_t>(r) * left_stride);
    HOTARU_UNROLL(4)
    for (int n = 0; n < N; n++) {
      sums.at[r][n] =
          kLeftSigned ? _mm512_dpbusd_epi32(sums.at[r][n], b[n], a) : _mm512_dpbusd_epi32(sums.at[r][n], a, b[n]);
    }
  }
}

// R rows from `row` on against the 64 keys of every page.
struct Rows {
  const QueryBlock& block;
  const BlockScratch& scratch;
  size_t row;
};

// The next page's bytes are asked for one page ahead.
template <int R>
void score(const Rows& rows, size_t page) {
  const size_t width = rows.block.width();
  const std::byte* queries = rows.scratch.queries + rows.row * width;
  const uint8_t* keys = rows.block.page_keys(page);
  const uint8_t* next = rows.block.page_keys(smaller(page + 1, rows.block.pages() - 1));
  Sums<R, 4> sums;
  clear(sums);
  for (size_t step = 0; step < width / 4; step++) {
    prefetch_ahead(next + step * 256, 256);
    add_step<R, 4, true>(sums, queries + step * 4, width, keys + step * 64, width * 16);
  }
  store(sums, rows.scratch.scores + rows.row * rows.scratch.stride + page * kPageTokens, rows.scratch.stride);
}

// Split keys: c[s] of one page.
template <int R>
void multiply_columns(const Rows& rows, const BlockCoefficients& coefficients, size_t page) {
  const size_t width = rows.block.width();
  const std::byte* left_high = coefficients.high + rows.row * width;
  const std::byte* left_low = coefficients.low + rows.row * width;
  const uint8_t* high = rows.block.page_columns(page);
  const uint8_t* low = high + page_side_bytes(width);
  Sums<R, 4> sums;
  clear(sums);
  for (size_t step = 0; step < width / 4; step++) {
    add_step<R, 4, true>(sums, left_high + step * 4, width, high + step * 64, width * 16);
  }
  shift_left_8(sums);
  for (size_t step = 0; step < width / 4; step++) {
    add_step<R, 4, true>(sums, left_high + step * 4, width, low + step * 64, width * 16);
    add_step<R, 4, true>(sums, left_low + step * 4, width, high + step * 64, width * 16);
  }
  store(sums, rows.scratch.bias_sums + rows.row * kPageTokens, kPageTokens);
}

// The 16 N channels from `first` on over all pages.
template <int R, int N>
void weigh(const Rows& rows, size_t first) {
  const size_t width = rows.block.width();
  const size_t pages = rows.block.pages();
  const size_t stride = rows.scratch.stride;
  const auto* codes = reinterpret_cast<const std::byte*>(rows.scratch.codes) + rows.row * stride;
  Sums<R, N> sums;
  clear(sums);
  for (size_t page = 0; page < pages; page++) {
    const int8_t* values = rows.block.page_values(page) + first * kPageTokens;
    const int8_t* next = rows.block.page_values(smaller(page + 1, pages - 1)) + first * kPageTokens;
    for (size_t step = 0; step < kPageTokens / 4; step++) {
      prefetch_ahead(next + step * N * 64, N * 64);
      add_step<R, N, false>(sums, codes + page * kPageTokens + step * 4, stride, values + step * 64, 1024);
    }
  }
  store(sums, rows.scratch.sums + rows.row * width + first, width);
}

template <int R>
void weigh_all(const Rows& rows) {
  size_t e = 0;
  for (; e + 64 <= rows.block.width(); e += 64) weigh<R, 4>(rows, e);
  for (; e < rows.block.width(); e += 16) weigh<R, 1>(rows, e);
}

template <int R>
struct RowCount {
  static constexpr int kRows = R;
};

// Calls body(first row, RowCount<R>{}) for runs of R <= 6 rows, as even as can be: 16 = 6 + 5 + 5.
template <typename Body>
void for_row_runs(size_t rows, Body body) {
  for (size_t row = 0; row < rows;) {
    const size_t runs = (rows - row + kMostRows - 1) / kMostRows;
    const size_t run = (rows - row + runs - 1) / runs;
    if (run == 6) body(row, RowCount<6>{});
    if (run == 5) body(row, RowCount<5>{});
    if (run == 4) body(row, RowCount<4>{});
    if (run == 3) body(row, RowCount<3>{});
    if (run == 2) body(row, RowCount<2>{});
    if (run == 1) body(row, RowCount<1>{});
    row += run;
  }
}

void add_bias(const QueryBlock& block, const BlockScratch& scratch) {
  const BlockCoefficients coefficients = copy_coefficients(block, scratch, block.width());
  for (size_t page = 0; page < block.pages(); page++) {
    for_row_runs(block.rows(), [&](size_t row, auto count) {
      multiply_columns<count.kRows>({block, scratch, row}, coefficients, page);
    });
    add_bias_256(block, scratch, page);
  }
}

void attend(const QueryBlock& block) {
  const BlockScratch scratch = block_scratch(block);
  copy_queries(block, scratch.queries, block.width());
  for (size_t page = 0; page < block.pages(); page++) {
    for_row_runs(block.rows(), [&](size_t row, auto count) { score<count.kRows>({block, scratch, row}, page); });
  }
  if (block.splits()) add_bias(block, scratch);
  RowCodes row_codes[kBlockRows];
  code_rows_512(block, scratch, row_codes);
  for_row_runs(block.rows(), [&](size_t row, auto count) { weigh_all<count.kRows>({block, scratch, row}); });
  for (size_t row = 0; row < block.rows(); row++) {
    finish_row_512(block, row, scratch.sums + row * block.width(), row_codes[row]);
  }
}

}  // namespace

void attention_avx512_vnni(const AttentionArgs& args, Slice slice) { for_each_query_block(args, slice, attend); }

}  // namespace hotaru
