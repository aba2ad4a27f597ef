// gated_linear for AMX: a block of gates and the block of their values are a pair; their products are coded from the
// finished tiles, so that no float leaves the first-level cache.
#include "kernels/gated_512.h"
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/folded_tiles_amx.h"
#include "kernels/linear_tiles_amx.h"

namespace hotaru {
namespace {

constexpr size_t kUnitBlocks = 4;  // four blocks of 16 channels fill a line of codes

// A line of codes is written as a whole, when its four blocks are there: between one block and the next go so many
// other tokens that a quarter of a line would have left the first-level cache.
class StoreProducts {
 public:
  // quarters: [3][kMaxBlockTokens][16]
  StoreProducts(const LinearOutput& linear, const GatedLinearArgs& args, uint8_t* quarters)
      : linear_(linear), to_(args.swiglu), is_tiled_(args.is_tiled), quarters_(quarters) {
    const auto width = static_cast<size_t>(to_.width);
    line_stride_ = is_tiled_ ? kTileInputs : to_.output_stride;
    next_tile_ = is_tiled_ ? token_tile_index(kTileTokens, 0, width) - kTileBytes : 0;
  }

  [[gnu::always_inline]] void begin(const PassSums& sums) {
    const size_t block = sums.blocks.first;
    fill_columns(linear_, sums.blocks, columns_);
    index_ = block % kUnitBlocks;
    quarter_ = quarters_ + sums.token % kMaxBlockTokens * kRowsPerBlock;
    const size_t channel = (block - index_) * kRowsPerBlock;
    out_ = to_.output.low + (is_tiled_ ? token_tile_index(sums.token, channel, static_cast<size_t>(to_.width))
                                       : sums.token * line_stride_ + channel);
    tile_left_ = kTileTokens;
  }

  [[gnu::always_inline]] void next(SumRow row, size_t count) {
    static_assert(kStoredTokens == kGated);
    Vectors512 gate, up;
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kGated; v++) {
      gate[v] = finish_row(row + v * kRowsPerBlock, 0, columns_);
      up[v] = finish_row(row + v * kRowsPerBlock + kSecondSums, 1, columns_);
    }
    const __m512i codes = gated_codes(gate, up, to_.inverse_scale, to_.zero_point);
    if (index_ + 1 < kUnitBlocks) {
      _mm512_store_si512(quarter(index_), codes);
    } else {
      store_lines(codes, count);
    }
    quarter_ += kGated * kRowsPerBlock;
  }

 private:
  // Of the tokens at hand.
  [[nodiscard]] uint8_t* quarter(size_t index) const { return quarter_ + index * kMaxBlockTokens * kRowsPerBlock; }

  // Four quarters of four tokens become four lines.
  [[gnu::always_inline]] void store_lines(__m512i last, size_t count) {
    const __m512i q0 = _mm512_load_si512(quarter(0));
    const __m512i q1 = _mm512_load_si512(quarter(1));
    const __m512i q2 = _mm512_load_si512(quarter(2));
    const __m512i low01 = _mm512_shuffle_i32x4(q0, q1, 0x44);  // tokens 0 and 1 of both
    const __m512i low23 = _mm512_shuffle_i32x4(q2, last, 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(q0, q1, 0xEE);
    const __m512i high23 = _mm512_shuffle_i32x4(q2, last, 0xEE);
    const __m512i lines[kGated] = {_mm512_shuffle_i32x4(low01, low23, 0x88), _mm512_shuffle_i32x4(low01, low23, 0xDD),
                                   _mm512_shuffle_i32x4(high01, high23, 0x88),
                                   _mm512_shuffle_i32x4(high01, high23, 0xDD)};
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kGated; v++) {
      if (v < count) _mm512_storeu_si512(out_ + v * line_stride_, lines[v]);
    }
    out_ += kGated * line_stride_;
    tile_left_ -= kGated;
    if (tile_left_ > 0) return;
    out_ += next_tile_;
    tile_left_ = kTileTokens;
  }

  LinearOutput linear_;
  SwiGluArgs to_;
  bool is_tiled_;
  size_t line_stride_ = 0;  // codes from one token's line to the next
  size_t next_tile_ = 0;    // more of them after 16 tokens
  uint8_t* quarters_;
  PairColumns columns_ = {};
  size_t index_ = 0;
  uint8_t* quarter_ = nullptr;  // the next token's
  uint8_t* out_ = nullptr;      // the next token's line
  size_t tile_left_ = 0;        // tokens from there on that are in the same 16
};

}  // namespace

void gated_linear_amx(const GatedLinearArgs& args, Slice slice) {
  const LinearInt4Args& linear = args.linear;
  const auto inputs = static_cast<size_t>(linear.inputs);
  const size_t partner = static_cast<size_t>(args.swiglu.width) / kRowsPerBlock;
  const Slice::Range units = slice.range(partner / kUnitBlocks);
  if (units.begin == units.end) return;
  const TileJob job = {static_cast<size_t>(linear.tokens), inputs, linear.input, linear.is_tiled,
                       tile_workspace(linear.workspace)};
  FoldedTiles weights(linear.weight, inputs, job.workspace.panel);
  const auto outputs = static_cast<size_t>(linear.outputs);
  const LinearOutput floats = {outputs, linear.offset, linear.scale, linear.bias, nullptr, false};
  auto* quarters = reinterpret_cast<uint8_t*>(job.workspace.results);
  Results results(job.workspace, StoreProducts(floats, args, quarters));
  const TilePanels panels = tile_panels(job, {units.begin * kUnitBlocks, units.end * kUnitBlocks}, partner);
  multiply_tiles(job, panels, weights, results);
}

}  // namespace hotaru
