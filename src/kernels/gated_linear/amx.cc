// gated_linear for AMX: a block of gates and the block of their values are a pair; their products are coded from the
// finished tiles, so that no float leaves the first-level cache.
#include "kernels/gated_512.h"
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/folded_tiles_amx.h"
#include "kernels/linear_tiles_amx.h"
#include "kernels/requantise_512.h"

namespace hotaru {
namespace {

constexpr size_t kUnitBlocks = 4;  // four blocks of 16 channels fill a line of codes

// A line of codes is written as a whole, when its four blocks are there: between one block and the next go so many
// other tokens that a quarter of a line would have left the first-level cache.
struct StoreProducts {
  LinearOutput linear;
  SwiGluArgs to;
  uint8_t* quarters;  // [3][kMaxBlockTokens][16]

  [[nodiscard]] __m128i* quarter(size_t index, size_t token) const {
    return reinterpret_cast<__m128i*>(quarters) + index * kMaxBlockTokens + token % kMaxBlockTokens;
  }

  [[gnu::always_inline]] void operator()(const FinishedSums& sums, size_t i, size_t count) const {
    static_assert(kStoredTokens == kGated);
    const size_t block = sums.blocks.first;
    Vectors512 gate, up;
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kGated; v++) {
      gate[v] = finish_16_rows(linear, block * kRowsPerBlock, finished_row(sums, i + v, 0));
      up[v] = finish_16_rows(linear, sums.blocks.second * kRowsPerBlock, finished_row(sums, i + v, 1));
    }
    gate_4x16(gate, up);
    __m128i codes[kGated];
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kGated; v++) {
      codes[v] = _mm512_cvtepi32_epi8(requantise_16(up[v], to.inverse_scale, to.zero_point));
    }
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kGated; v++) {
      if (v < count) store(sums.token + i + v, block, codes[v]);
    }
  }

  [[gnu::always_inline]] void store(size_t token, size_t block, __m128i codes) const {
    const size_t index = block % kUnitBlocks;
    if (index + 1 < kUnitBlocks) {
      _mm_store_si128(quarter(index, token), codes);
      return;
    }
    __m512i line = _mm512_castsi128_si512(_mm_load_si128(quarter(0, token)));
    line = _mm512_inserti32x4(line, _mm_load_si128(quarter(1, token)), 1);
    line = _mm512_inserti32x4(line, _mm_load_si128(quarter(2, token)), 2);
    line = _mm512_inserti32x4(line, codes, 3);
    uint8_t* out = to.output.low + token * to.output_stride + (block + 1 - kUnitBlocks) * kRowsPerBlock;
    _mm512_storeu_si512(out, line);
  }
};

}  // namespace

void gated_linear_amx(const GatedLinearArgs& args, Slice slice) {
  const LinearInt4Args& linear = args.linear;
  const auto inputs = static_cast<size_t>(linear.inputs);
  const size_t partner = static_cast<size_t>(args.swiglu.width) / kRowsPerBlock;
  const Slice::Range units = slice.range(partner / kUnitBlocks);
  if (units.begin == units.end) return;
  const TileJob job = {static_cast<size_t>(linear.tokens), inputs, linear.input, tile_workspace(linear.workspace)};
  FoldedTiles weights(linear.weight, inputs, job.workspace.panel);
  const auto outputs = static_cast<size_t>(linear.outputs);
  Results results(job.workspace, StoreProducts{{outputs, linear.offset, linear.scale, linear.bias, nullptr, false},
                                               args.swiglu,
                                               reinterpret_cast<uint8_t*>(job.workspace.results)});
  multiply_tiles(job, tile_panels({units.begin * kUnitBlocks, units.end * kUnitBlocks}, inputs, partner), weights,
                 results);
}

}  // namespace hotaru
