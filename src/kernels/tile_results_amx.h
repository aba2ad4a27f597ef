// What becomes of the sums of linear_tiles_amx.h: vectors add them up and make a layer's output of them, while the next
// tiles multiply.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_rows_avx512.h"
#include "kernels/tile_panels_amx.h"

namespace hotaru {
namespace {  // each kernel's own: NUMERICS on weak symbols

// Sums of a pass, of two tiles of tokens with a pair of blocks: [2 blocks][32 tokens][16 rows]. They lie in tiles 0
// (the first 16 tokens and the first block), 1 (the second block), 2 and 3 (the other tokens); 4 and 5 are tokens, 6
// and 7 weights.
constexpr size_t kTileSums = kTileTokens * kRowsPerBlock;

// kWait: go where they wait. kAdd: are added to those that wait. kFinish: with those that wait they are what the tokens
// make of the pair of blocks.
enum class SumsUse { kWait, kAdd, kFinish };

// Those of up to 32 tokens from `token` on.
struct PassSums {
  SumsUse use;
  int32_t* waiting;
  size_t token, tokens;
  BlockPair blocks;
};

// What makes floats of the sums of a pair of blocks: sums + offset, times scale, plus bias. Read once a pass: loads of
// vectors and of tiles share two ports, and tiles need all of both.
struct PairColumns {
  alignas(64) int32_t offset[kPairBlocks][kRowsPerBlock];
  alignas(64) float scale[kPairBlocks][kRowsPerBlock];
  alignas(64) float bias[kPairBlocks][kRowsPerBlock];
};

// The block's rows below N, a bit each.
[[gnu::always_inline]] inline __mmask16 rows_of(const LinearOutput& to, size_t block) {
  const size_t rows = to.outputs - smaller_of(block * kRowsPerBlock, to.outputs);
  return static_cast<__mmask16>(rows >= kRowsPerBlock ? 0xFFFF : (1U << rows) - 1);
}

[[gnu::always_inline]] inline void fill_columns(const LinearOutput& to, size_t block, size_t index,
                                                PairColumns& columns) {
  const __mmask16 rows = rows_of(to, block);
  const size_t n = block * kRowsPerBlock;
  const __m512 none = _mm512_set1_ps(-0.0F);  // x + -0.0 is x
  _mm512_store_si512(columns.offset[index], _mm512_maskz_loadu_epi32(rows, to.offset + n));
  _mm512_store_ps(columns.scale[index], _mm512_maskz_loadu_ps(rows, to.scale + n));
  _mm512_store_ps(columns.bias[index], to.bias == nullptr ? none : _mm512_maskz_loadu_ps(rows, to.bias + n));
}

[[gnu::always_inline]] inline void fill_columns(const LinearOutput& to, BlockPair blocks, PairColumns& columns) {
  fill_columns(to, blocks.first, 0, columns);
  fill_columns(to, blocks.second, 1, columns);
}

// A token's row of a block's sums, in two parts.
struct SumRow {
  const int32_t* last;
  int32_t* waiting;
};

[[gnu::always_inline]] inline SumRow operator+(SumRow row, size_t sums) {
  return {row.last + sums, row.waiting + sums};
}

[[gnu::always_inline]] inline __m512i add_up(SumRow row) {
  return _mm512_add_epi32(_mm512_load_si512(row.last), _mm512_load_si512(row.waiting));
}

[[gnu::always_inline]] inline __m512 finish_row(SumRow row, size_t index, const PairColumns& columns) {
  const __m512i offset = _mm512_load_si512(columns.offset[index]);
  const __m512 y = scale_sums_512(add_up(row), offset, _mm512_load_ps(columns.scale[index]));
  return _mm512_add_ps(y, _mm512_load_ps(columns.bias[index]));
}

// Adds up the sums of passes, or calls store.begin(sums) for what is finished, then store.next(row, count) for its
// tokens: kStoredTokens in every tile step, while the next tiles multiply. row: the tokens' sums with the first block;
// with the second one they lie kSecondSums further on. The sums of kStoredTokens may be read whatever the count.
template <typename Store>
class Results {
 public:
  Results(const TileWorkspace& workspace, const Store& store) : pass_sums_(workspace.pass_sums), store_(store) {}

  [[nodiscard, gnu::always_inline]] int32_t* place(const PassSums& sums) const {
    return sums.use == SumsUse::kWait ? sums.waiting : pass_sums_;
  }
  [[gnu::always_inline]] void take(const PassSums& sums) {
    if (sums.use == SumsUse::kWait) return;
    finishes_ = sums.use == SumsUse::kFinish;
    if (finishes_) store_.begin(sums);
    row_ = {pass_sums_, sums.waiting};
    left_ = sums.tokens;
  }
  [[gnu::always_inline]] void advance() {
    if (left_ == 0) return;
    const size_t count = smaller_of(left_, kStoredTokens);
    if (finishes_) {
      store_.next(row_, count);
    } else {
      add_tokens();
    }
    row_ = row_ + kStoredTokens * kRowsPerBlock;
    left_ -= count;
  }
  [[gnu::always_inline]] void finish() {
    while (left_ > 0) advance();
  }

 private:
  [[gnu::always_inline]] void add_tokens() const {
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kStoredTokens; v++) {
      for (size_t at = v * kRowsPerBlock; at < kPassSums; at += kSecondSums)
        _mm512_store_si512(row_.waiting + at, add_up(row_ + at));
    }
  }

  int32_t* pass_sums_;
  Store store_;
  bool finishes_ = false;
  SumRow row_ = {};
  size_t left_ = 0;
};

// Floats, what a linear layer alone writes.
class StoreFloats {
 public:
  explicit StoreFloats(const LinearOutput& to) : to_(to) {}

  [[gnu::always_inline]] void begin(const PassSums& sums) {
    const auto [first, second] = sums.blocks;
    fill_columns(to_, sums.blocks, columns_);
    rows_[0] = rows_of(to_, first);
    rows_[1] = second == first ? 0 : rows_of(to_, second);
    second_ = (second - first) * kRowsPerBlock;
    out_ = to_.output + sums.token * to_.outputs + first * kRowsPerBlock;
  }
  [[gnu::always_inline]] void next(SumRow row, size_t count) {
    for (size_t v = 0; v < count; v++, row = row + kRowsPerBlock, out_ += to_.outputs) {
      const auto* coming = reinterpret_cast<const char*>(out_ + 2 * kTileTokens * to_.outputs);  // in the next pass
      _mm_prefetch(coming, _MM_HINT_T0);
      _mm_prefetch(coming + 64, _MM_HINT_T0);
      store(out_, rows_[0], finish_row(row, 0, columns_));
      store(out_ + second_, rows_[1], finish_row(row + kSecondSums, 1, columns_));
    }
  }

 private:
  [[gnu::always_inline]] void store(float* out, __mmask16 rows, __m512 y) const {
    if (to_.add_to_output) y = _mm512_add_ps(_mm512_maskz_loadu_ps(rows, out), y);
    _mm512_mask_storeu_ps(out, rows, y);
  }

  LinearOutput to_;
  PairColumns columns_ = {};
  __mmask16 rows_[kPairBlocks] = {};
  size_t second_ = 0;
  float* out_ = nullptr;  // the next token's
};

}  // namespace
}  // namespace hotaru
