// linear_int8 for AMX: from 9 tokens on. Fewer go to the AVX-512 VNNI kernel, called directly.
#include "kernels/kernel_list.h"
#include "kernels/linear_tiles_amx.h"

namespace hotaru {
namespace {

// Panels where they lie: the packed order is tiles already. Only half a tile at the end of a block is copied, to have
// zeros after it and not the next block.
class PlainTiles {
 public:
  PlainTiles(const int8_t* weight, size_t inputs, int8_t* spare) : weight_(weight), inputs_(inputs), spare_(spare) {}

  [[gnu::always_inline]] void begin(const TilePanels& order, size_t passes) {
    order_ = order;
    passes_ = passes;
    index_ = 0;
    announce();
  }

  [[nodiscard]] const int8_t* tile(size_t block, size_t step) const {
    return step == half_step_ ? spare_ + block * kTileBytes : here_[block] + step * kTileBytes;
  }

  [[gnu::always_inline]] void fetch() { advance_fetch(fetch_); }
  void replace(size_t /*step*/) {}  // there is nothing to replace in

  [[gnu::always_inline]] void next() {
    if (++index_ < panel_count(order_)) announce();
  }

 private:
  [[nodiscard]] const int8_t* in_place(size_t block, size_t first_input) const {
    return weight_ + (block * inputs_ + first_input) * kRowsPerBlock;
  }

  [[gnu::always_inline]] void announce() {
    const TilePanel panel = panel_at(order_, index_);
    const size_t steps = tile_steps(panel.inputs);
    here_[0] = in_place(panel.blocks.first, panel.first_input);
    here_[1] = in_place(panel.blocks.second, panel.first_input);
    half_step_ = panel.inputs % kTileInputs == 0 ? steps : steps - 1;
    for (size_t b = 0; b < kPairBlocks && half_step_ < steps; b++) {
      std::memcpy(spare_ + b * kTileBytes, here_[b] + half_step_ * kTileBytes, kTileBytes / 2);
      std::memset(spare_ + b * kTileBytes + kTileBytes / 2, 0, kTileBytes / 2);
    }
    if (index_ + 1 == panel_count(order_)) return;
    const TilePanel coming = panel_at(order_, index_ + 1);
    fetch_ = fetch_in_steps(in_place(coming.blocks.first, coming.first_input),
                            in_place(coming.blocks.second, coming.first_input), coming.inputs * kRowsPerBlock,
                            passes_ * steps);
  }

  const int8_t* weight_;
  size_t inputs_;
  int8_t* spare_;  // [2 blocks][kTileBytes]
  TilePanels order_ = {};
  size_t passes_ = 0, index_ = 0;
  const int8_t* here_[kPairBlocks] = {};
  size_t half_step_ = 0;  // whose tiles are in spare_; beyond the last where none are
  PanelFetch fetch_ = {};
};

}  // namespace

void linear_int8_amx(const LinearInt8Args& args, Slice slice) {
  const auto tokens = static_cast<size_t>(args.tokens);
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  if (tokens < kFewestTokens) {
    (linear_int8_avx512_vnni)(args, slice);  // parentheses: found by scope alone, the emulated has its emulated twin
    return;
  }
  const TileJob job = {tokens, inputs, args.input, false, tile_workspace(args.workspace)};
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (blocks.begin == blocks.end) return;
  PlainTiles weights(args.weight, inputs, job.workspace.panel);
  const LinearOutput to = {outputs, args.offset, args.scale, nullptr, args.output, false};
  Results results(job.workspace, StoreFloats(to));
  multiply_tiles(job, tile_panels(job, blocks, 0), weights, results);
}

}  // namespace hotaru
