// linear_int4 for AMX: from 9 tokens on. Fewer go to the AVX-512 VNNI kernel, called directly.
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/folded_tiles_amx.h"
#include "kernels/linear_tiles_amx.h"

namespace hotaru {

void linear_int4_amx(const LinearInt4Args& args, Slice slice) {
  const auto tokens = static_cast<size_t>(args.tokens);
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  if (tokens < kFewestTokens) {
    (linear_int4_avx512_vnni)(args, slice);  // parentheses: found by scope alone, the emulated has its emulated twin
    return;
  }
  const TileJob job = {tokens, inputs, args.input, args.is_tiled, tile_workspace(args.workspace)};
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (blocks.begin == blocks.end) return;
  FoldedTiles weights(args.weight, inputs, job.workspace.panel);
  const LinearOutput to = {outputs, args.offset, args.scale, args.bias, args.output, args.add_to_output};
  Results results(job.workspace, StoreFloats(to));
  multiply_tiles(job, tile_panels(job, blocks, 0), weights, results);
}

}  // namespace hotaru
