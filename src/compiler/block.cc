#include "compiler/block.h"

#include <algorithm>
#include <array>

namespace hotaru {
namespace {

constexpr std::array<const char*, 8> kKindNames = {"embed", "rms_norm",  "linear", "head_norm",
                                                   "rope",  "attention", "swiglu", "add"};
const char* name_of(NodeKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

// Nodes of a layer, and the only one of each kind or the one that makes a value.
class Layer {
 public:
  Layer(const Graph& graph, int layer) : graph_(graph), layer_(layer) {}

  [[nodiscard]] Result<const Node*> only(NodeKind kind) const {
    const Node* found = nullptr;
    int count = 0;
    for (const Node& node : graph_.nodes) {
      if (node.layer != layer_ || node.kind != kind) continue;
      found = &node;
      count++;
    }
    if (count == 1) return found;
    return not_supported("layer {}: got {} nodes of kind '{}', want 1", layer_, count, name_of(kind));
  }

  // The node of this layer that makes `value`, of the wanted kind.
  [[nodiscard]] Result<const Node*> maker(ValueId value, NodeKind kind) const {
    const Node* node = find_maker(value);
    if (node != nullptr && node->kind == kind) return node;
    return not_supported("layer {}: '{}' comes from {}, want a '{}' of the same layer", layer_,
                         graph_.values[static_cast<size_t>(value)].name, node == nullptr ? "elsewhere" : node->name,
                         name_of(kind));
  }

  // The same, or null when another kind makes it.
  [[nodiscard]] const Node* maker_if(ValueId value, NodeKind kind) const {
    const Node* node = find_maker(value);
    return node != nullptr && node->kind == kind ? node : nullptr;
  }

  // The linear that reads a value and is added to the residual stream.
  [[nodiscard]] Result<const Node*> linear_of(ValueId value) const {
    for (const Node& node : graph_.nodes) {
      if (node.layer == layer_ && node.kind == NodeKind::kLinear && node.inputs[0] == value) return &node;
    }
    return not_supported("layer {}: no linear reads '{}'", layer_, graph_.values[static_cast<size_t>(value)].name);
  }

 private:
  [[nodiscard]] const Node* find_maker(ValueId value) const {
    for (const Node& node : graph_.nodes) {
      if (node.layer == layer_ && node.output == value) return &node;
    }
    return nullptr;
  }

  const Graph& graph_;
  int layer_;
};

struct Projection {
  const Node* linear = nullptr;
  const Node* norm = nullptr;
  const Node* rope = nullptr;
};

Result<Projection> match_projection(const Layer& layer, ValueId rotated) {
  Projection projection;
  TRY_ASSIGN(projection.rope, layer.maker(rotated, NodeKind::kRope));
  projection.norm = layer.maker_if(projection.rope->inputs[0], NodeKind::kHeadNorm);
  const ValueId projected = projection.norm != nullptr ? projection.norm->inputs[0] : projection.rope->inputs[0];
  TRY_ASSIGN(projection.linear, layer.maker(projected, NodeKind::kLinear));
  return projection;
}

Result<void> want_same_input(int layer, const Node& a, const Node& b) {
  if (a.inputs[0] == b.inputs[0]) return {};
  return not_supported("layer {}: '{}' and '{}' read different values, want one", layer, a.name, b.name);
}

// residual = residual + branch
Result<const Node*> match_add(const Graph& graph, int layer, ValueId residual, const Node& branch) {
  for (const Node& node : graph.nodes) {
    const bool adds = node.kind == NodeKind::kAdd && std::ranges::find(node.inputs, branch.output) != node.inputs.end();
    if (adds && std::ranges::find(node.inputs, residual) != node.inputs.end()) return &node;
  }
  return not_supported("layer {}: '{}' is not added to the residual stream", layer, branch.name);
}

}  // namespace

Result<Block> match_block(const Graph& graph, int layer) {
  const Layer nodes(graph, layer);
  Block block;
  TRY_ASSIGN(block.attention, nodes.only(NodeKind::kAttention));
  TRY_ASSIGN(const Projection query, match_projection(nodes, block.attention->inputs[0]));
  TRY_ASSIGN(const Projection key, match_projection(nodes, block.attention->inputs[1]));
  TRY_ASSIGN(block.v, nodes.maker(block.attention->inputs[2], NodeKind::kLinear));
  block.q = query.linear;
  block.q_norm = query.norm;
  block.q_rope = query.rope;
  block.k = key.linear;
  block.k_norm = key.norm;
  block.k_rope = key.rope;
  TRY(want_same_input(layer, *block.q, *block.k));
  TRY(want_same_input(layer, *block.q, *block.v));
  TRY_ASSIGN(block.norm1, nodes.maker(block.q->inputs[0], NodeKind::kRmsNorm));
  TRY_ASSIGN(block.o, nodes.linear_of(block.attention->output));
  TRY_ASSIGN(block.swiglu, nodes.only(NodeKind::kSwiGlu));
  TRY_ASSIGN(block.gate, nodes.maker(block.swiglu->inputs[0], NodeKind::kLinear));
  TRY_ASSIGN(block.up, nodes.maker(block.swiglu->inputs[1], NodeKind::kLinear));
  TRY(want_same_input(layer, *block.gate, *block.up));
  TRY_ASSIGN(block.norm2, nodes.maker(block.gate->inputs[0], NodeKind::kRmsNorm));
  TRY_ASSIGN(block.down, nodes.linear_of(block.swiglu->output));
  TRY_ASSIGN(const Node* middle, match_add(graph, layer, block.norm1->inputs[0], *block.o));
  if (block.norm2->inputs[0] != middle->output) {
    return not_supported("layer {}: '{}' does not read the residual stream", layer, block.norm2->name);
  }
  TRY(match_add(graph, layer, middle->output, *block.down));
  return block;
}

Result<Ends> match_ends(const Graph& graph) {
  Ends ends;
  TRY_ASSIGN(ends.embed, Layer(graph, -1).only(NodeKind::kEmbed));
  const Layer last(graph, static_cast<int>(graph.shape.layers));
  TRY_ASSIGN(ends.head, last.only(NodeKind::kLinear));
  TRY_ASSIGN(ends.norm, last.maker(ends.head->inputs[0], NodeKind::kRmsNorm));
  if (ends.head->bias != kNone) return not_supported("'{}': a head with a bias is not supported", ends.head->name);
  return ends;
}

}  // namespace hotaru
