// linear_int8 for AMX: from 16 tokens on. Fewer go to the AVX-512 VNNI kernel, called directly.
#include "kernels/kernel_list.h"
#include "kernels/linear_tiles_amx.h"

namespace hotaru {
namespace {

// Panels where they lie: the packed order is tiles already. Only a panel that ends with half a tile is copied, to have
// zeros after it and not the next block.
class PlainPanels {
 public:
  PlainPanels(const int8_t* weight, size_t inputs, std::byte* buffer)
      : weight_(weight), inputs_(inputs), buffer_(reinterpret_cast<int8_t*>(buffer)) {}

  void begin(const TilePanel& panel, size_t steps) {
    panel_ = panel;
    done_ = 0;
    per_step_ = (panel.inputs * kRowsPerBlock + steps - 1) / steps;
  }

  // Fetches a part of the next panel.
  void advance() {
    const size_t last = panel_.inputs * kRowsPerBlock;
    const size_t end = smaller_of(done_ + per_step_, last);
    for (; done_ < end; done_ += 64) {
      for (size_t b = 0; b < panel_.blocks; b++) {
        _mm_prefetch(reinterpret_cast<const char*>(in_place(b) + done_), _MM_HINT_T1);
      }
    }
  }

  void finish() {
    const size_t bytes = panel_.inputs * kRowsPerBlock;
    for (size_t b = 0; b < panel_.blocks; b++) ready_[b] = in_place(b);
    if (panel_.inputs % kTileInputs == 0) return;
    for (size_t b = 0; b < panel_.blocks; b++) {
      int8_t* copy = buffer_ + b * tile_steps(panel_) * kTileBytes;
      std::memcpy(copy, ready_[b], bytes);
      std::memset(copy + bytes, 0, kTileBytes / 2);
      ready_[b] = copy;
    }
  }

  [[nodiscard]] const int8_t* block(size_t b) const { return ready_[b]; }

 private:
  [[nodiscard]] const int8_t* in_place(size_t b) const {
    return weight_ + ((panel_.first_block + b) * inputs_ + panel_.first_input) * kRowsPerBlock;
  }

  const int8_t* weight_;
  size_t inputs_;
  int8_t* buffer_;  // [kMaxPanelBytes]
  TilePanel panel_ = {};
  size_t done_ = 0, per_step_ = 0;  // bytes of each block of panel_: fetched; to fetch per step
  const int8_t* ready_[kPanelBlocks] = {};
};

}  // namespace

void linear_int8_amx(const LinearInt8Args& args, Slice slice) {
  const auto tokens = static_cast<size_t>(args.tokens);
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  if (tokens < kTileTokens) {
    (linear_int8_avx512_vnni)(args, slice);  // parentheses: found by scope alone, the emulated has its emulated twin
    return;
  }
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (blocks.begin == blocks.end) return;
  const TileJob job = {{tokens, inputs, args.input, {outputs, args.offset, args.scale, nullptr, args.output, false}},
                       tile_workspace(args.workspace)};
  PlainPanels panels(args.weight, inputs, job.workspace.free);
  multiply_tiles(job, tile_panels(blocks, inputs), panels);
}

}  // namespace hotaru
