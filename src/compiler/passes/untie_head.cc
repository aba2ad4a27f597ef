#include "compiler/block.h"
#include "compiler/passes/passes.h"

namespace hotaru {

Result<void> untie_head(PassContext& context) {
  Graph& graph = *context.graph;
  TRY_ASSIGN(const Ends ends, match_ends(graph));
  if (ends.head->weight != ends.embed->weight) return {};
  Parameter head = graph.parameters[static_cast<size_t>(ends.embed->weight)];
  head.name = "head.weight";
  graph.nodes[static_cast<size_t>(ends.head - graph.nodes.data())].weight = graph.add_parameter(std::move(head));
  graph.tied_embeddings = false;
  return {};
}

}  // namespace hotaru
