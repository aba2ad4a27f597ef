#include "compiler/block.h"
#include "compiler/passes/linear_basis.h"
#include "compiler/passes/passes.h"
#include "compiler/rotation.h"

namespace hotaru {

Result<void> rotate_values(PassContext& context) {
  constexpr uint64_t kSeed = 2;
  Graph& graph = *context.graph;
  TRY_ASSIGN(const Rotation rotation, Rotation::create(static_cast<size_t>(graph.shape.head_width), kSeed));
  Rewrite rewrite;
  rewrite.pass = "rotate-values";
  rewrite.seed = kSeed;
  rewrite.order = static_cast<uint32_t>(rotation.order());
  rewrite.block = static_cast<uint32_t>(rotation.size());
  for (int layer = 0; layer < graph.shape.layers; layer++) {
    TRY_ASSIGN(const Block block, match_block(graph, layer));
    rewrite.kind = RewriteKind::kRotateRows;
    rewrite_outputs(graph, *block.v, rewrite);
    rewrite.kind = RewriteKind::kRotateColumns;
    rewrite_inputs(graph, *block.o, rewrite);
  }
  return {};
}

}  // namespace hotaru
