#include <algorithm>

#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// Nodes that read a value.
std::vector<const Node*> consumers_of(const Graph& graph, ValueId value) {
  std::vector<const Node*> consumers;
  for (const Node& node : graph.nodes) {
    if (std::ranges::find(node.inputs, value) != node.inputs.end()) consumers.push_back(&node);
  }
  return consumers;
}

int uses_of(const Graph& graph, ParameterId parameter) {
  return static_cast<int>(
      std::ranges::count_if(graph.nodes, [parameter](const Node& node) { return node.weight == parameter; }));
}

// Only linears read the norm, and nothing else reads their weights: in a tied model the head's weight is the embedding
// too, so the last gamma stays (docs/decisions/0007).
bool can_fold(const Graph& graph, const std::vector<const Node*>& consumers) {
  return !consumers.empty() && std::ranges::all_of(consumers, [&graph](const Node* node) {
    return node->kind == NodeKind::kLinear && uses_of(graph, node->weight) == 1;
  });
}

}  // namespace

Result<void> fold_norms(PassContext& context) {
  Graph& graph = *context.graph;
  for (Node& node : graph.nodes) {
    if (node.kind != NodeKind::kRmsNorm || node.weight == kNone) continue;
    const auto consumers = consumers_of(graph, node.output);
    if (!can_fold(graph, consumers)) continue;
    TRY_ASSIGN(const std::vector<double> gamma, context.parameters->materialise_double(node.weight));
    for (const Node* consumer : consumers) {
      Rewrite rewrite;
      rewrite.kind = RewriteKind::kScaleColumns;
      rewrite.pass = "fold-norms";
      rewrite.values = gamma;
      graph.parameters[static_cast<size_t>(consumer->weight)].rewrites.push_back(std::move(rewrite));
    }
    node.weight = kNone;
  }
  return {};
}

}  // namespace hotaru
