// linear_int4 for AMX: from 16 tokens on. Fewer go to the AVX-512 VNNI kernel, called directly.
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/fold_avx512.h"
#include "kernels/linear_tiles_amx.h"

namespace hotaru {
namespace {

// Panels of m * q, folded into one of two buffers while the tiles of the other are multiplied: half a group at a time,
// as evenly over the tile steps as that goes, or the tile unit waits behind the unpacking.
class FoldedPanels {
 public:
  FoldedPanels(const uint8_t* weight, size_t inputs, std::byte* buffers)
      : weight_(weight), all_groups_(inputs / kGroupInputs), buffers_(reinterpret_cast<int8_t*>(buffers)) {}

  void begin(const TilePanel& panel, size_t steps) {
    panel_ = panel;
    halves_ = panel.inputs / kGroupInputs * 2;
    done_ = 0;
    per_step_ = (panel.blocks * halves_ + steps - 1) / steps;
    filling_ = 1 - filling_;
  }

  void advance() { fold(smaller_of(done_ + per_step_, panel_.blocks * halves_)); }

  // What begin() announced is now what block() gives.
  void finish() {
    fold(panel_.blocks * halves_);
    ready_ = buffer(filling_);
    ready_stride_ = tile_steps(panel_) * kTileBytes;
  }

  [[nodiscard]] const int8_t* block(size_t b) const { return ready_ + b * ready_stride_; }

 private:
  [[nodiscard]] int8_t* buffer(size_t index) const { return buffers_ + index * kPanelStride; }

  void fold(size_t end) {
    for (; done_ < end; done_++) {
      const size_t b = done_ < halves_ ? 0 : 1;
      const size_t in_block = done_ - b * halves_;
      const size_t half = in_block % 2;
      const size_t first_group = (panel_.first_block + b) * all_groups_ + panel_.first_input / kGroupInputs;
      const uint8_t* group = weight_ + (first_group + in_block / 2) * kGroupBytes;
      const uint8_t* next_blocks = group + kPanelBlocks * all_groups_ * kGroupBytes + half * (kGroupCodeBytes / 2);
      for (size_t line = 0; line <= kGroupCodeBytes / 2; line += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(next_blocks + line), _MM_HINT_T1);
      }
      int8_t* out = buffer(filling_) + b * tile_steps(panel_) * kTileBytes + in_block * kGroupCodeBytes;
      fold_half_group(group, half, out);
      const bool half_tile = in_block + 1 == halves_ && halves_ % 4 == 2;
      if (half_tile) std::memset(out + kGroupCodeBytes, 0, kTileBytes / 2);
    }
  }

  const uint8_t* weight_;
  size_t all_groups_;  // K / 32
  int8_t* buffers_;    // [2][kPanelStride]
  TilePanel panel_ = {};
  size_t halves_ = 0, done_ = 0, per_step_ = 0;  // half groups of panel_: of one block; folded; to fold per step
  size_t filling_ = 0;
  const int8_t* ready_ = nullptr;
  size_t ready_stride_ = 0;
};

}  // namespace

void linear_int4_amx(const LinearInt4Args& args, Slice slice) {
  const auto tokens = static_cast<size_t>(args.tokens);
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  if (tokens < kTileTokens) {
    (linear_int4_avx512_vnni)(args, slice);  // parentheses: found by scope alone, the emulated has its emulated twin
    return;
  }
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (blocks.begin == blocks.end) return;
  const TileJob job = {
      {tokens, inputs, args.input, {outputs, args.offset, args.scale, args.bias, args.output, args.add_to_output}},
      tile_workspace(args.workspace)};
  FoldedPanels panels(args.weight, inputs, job.workspace.free);
  multiply_tiles(job, tile_panels(blocks, inputs), panels);
}

}  // namespace hotaru
