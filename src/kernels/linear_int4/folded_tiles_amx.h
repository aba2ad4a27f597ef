// 4-bit weights as linear_tiles_amx.h wants them: multipliers folded in (fold_avx512.h), one panel. Each tile of the
// next panel takes the place of this one's as soon as the last tokens have passed by it: the line is in L1 then, and a
// second panel would crowd out the tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_int4/fold_avx512.h"
#include "kernels/tile_panels_amx.h"

namespace hotaru {
namespace {

class FoldedTiles {
 public:
  // weight: packed int4 of K `inputs`
  FoldedTiles(const uint8_t* weight, size_t inputs, int8_t* panel)
      : weight_(weight), all_groups_(inputs / kGroupInputs), panel_(panel) {}

  [[gnu::always_inline]] void begin(const TilePanels& order, size_t passes) {
    order_ = order;
    passes_ = passes;
    index_ = 0;
    coming_ = panel_at(order, 0);
    for (size_t step = 0; step < tile_steps(coming_.inputs); step++) fold(step);
    announce();
  }

  [[nodiscard, gnu::always_inline]] const int8_t* tile(size_t block, size_t step) const {
    return panel_ + (step * kPairBlocks + block) * kTileBytes;
  }

  [[gnu::always_inline]] void fetch() { advance_fetch(fetch_); }

  [[gnu::always_inline]] void replace(size_t step) {
    if (step < coming_steps_) fold(step);
  }

  [[gnu::always_inline]] void next() {
    for (size_t step = here_steps_; step < coming_steps_; step++) fold(step);
    if (++index_ < panel_count(order_)) announce();
  }

 private:
  [[nodiscard, gnu::always_inline]] const uint8_t* group(size_t block, size_t first_input) const {
    return weight_ + (block * all_groups_ + first_input / kGroupInputs) * kGroupBytes;
  }

  // The panel at hand is index_, the next one is coming.
  [[gnu::always_inline]] void announce() {
    here_steps_ = tile_steps(coming_.inputs);
    coming_steps_ = 0;
    if (index_ + 1 == panel_count(order_)) return;
    coming_ = panel_at(order_, index_ + 1);
    coming_steps_ = tile_steps(coming_.inputs);
    fetch_ = fetch_in_steps(group(coming_.blocks.first, coming_.first_input),
                            group(coming_.blocks.second, coming_.first_input),
                            coming_.inputs / kGroupInputs * kGroupBytes, passes_ * here_steps_);
  }

  [[gnu::always_inline]] void fold(size_t step) {
    const size_t input = coming_.first_input + step * kTileInputs;
    int8_t* to = panel_ + step * kPairBlocks * kTileBytes;
    const bool is_half = step * kTileInputs + kGroupInputs == coming_.inputs;
    fold_tile(group(coming_.blocks.first, input), is_half, to);
    fold_tile(group(coming_.blocks.second, input), is_half, to + kTileBytes);
  }

  [[gnu::always_inline]] static void fold_tile(const uint8_t* group, bool is_half, int8_t* to) {
    fold_group(group, to);
    if (is_half) {
      std::memset(to + kTileBytes / 2, 0, kTileBytes / 2);
    } else {
      fold_group(group + kGroupBytes, to + kTileBytes / 2);
    }
  }

  const uint8_t* weight_;
  size_t all_groups_;  // K / 32
  int8_t* panel_;      // [8 steps][2 blocks][kTileBytes]
  TilePanels order_ = {};
  size_t passes_ = 0, index_ = 0;
  TilePanel coming_ = {};
  size_t here_steps_ = 0, coming_steps_ = 0;
  PanelFetch fetch_ = {};
};

}  // namespace
}  // namespace hotaru
