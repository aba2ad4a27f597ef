#include "graph/low_rank.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hotaru {
namespace {

ParameterId add_constant(Graph& graph, std::string name, int64_t rows, const std::vector<double>& values) {
  Parameter parameter;
  parameter.name = std::move(name);
  parameter.rows = rows;
  parameter.columns = static_cast<int64_t>(values.size()) / rows;
  parameter.values = values;
  return graph.add_parameter(std::move(parameter));
}

Node linear_behind(const Node& before, const std::string& name, ValueId input, ParameterId weight, ValueId output) {
  Node node;
  node.kind = NodeKind::kLinear;
  node.name = name;
  node.layer = before.layer;
  node.inputs = {input};
  node.weight = weight;
  node.output = output;
  return node;
}

// Inserts behind nodes[index]; returns the id of A x.
ValueId insert(Graph& graph, size_t index, const LowRank& addition) {
  const Node base = graph.nodes[index];
  const int64_t inputs = graph.values[static_cast<size_t>(base.inputs[0])].width;
  const int64_t outputs = graph.values[static_cast<size_t>(base.output)].width;
  CHECK_EQ(static_cast<int64_t>(addition.down.size()), addition.rank * inputs);
  CHECK_EQ(static_cast<int64_t>(addition.up.size()), outputs * addition.rank);
  const ValueId hidden = graph.add_value(base.name + ".lora_down", addition.rank);
  const ValueId added = graph.add_value(base.name + ".lora_up", outputs);
  const ValueId alone = graph.add_value(base.name + ".alone", outputs);
  const ParameterId down = add_constant(graph, base.name + ".lora_down.weight", addition.rank, addition.down);
  const ParameterId up = add_constant(graph, base.name + ".lora_up.weight", outputs, addition.up);
  Node up_node = linear_behind(base, base.name + ".lora_up", hidden, up, added);
  if (!addition.bias.empty()) up_node.bias = add_constant(graph, base.name + ".lora_up.bias", 1, addition.bias);
  Node sum;
  sum.kind = NodeKind::kAdd;
  sum.name = base.name + ".lora_sum";
  sum.layer = base.layer;
  sum.inputs = {alone, added};
  sum.output = base.output;
  graph.nodes[index].output = alone;
  const auto behind = graph.nodes.begin() + static_cast<std::ptrdiff_t>(index) + 1;
  graph.nodes.insert(behind, {linear_behind(base, base.name + ".lora_down", base.inputs[0], down, hidden),
                              std::move(up_node), std::move(sum)});
  return hidden;
}

}  // namespace

const Node* find_linear(const Graph& graph, std::string_view name) {
  const auto found = std::ranges::find_if(
      graph.nodes, [name](const Node& node) { return node.kind == NodeKind::kLinear && node.name == name; });
  return found == graph.nodes.end() ? nullptr : &*found;
}

std::vector<ValueId> attach(Graph& graph, std::span<const LowRank> additions) {
  std::vector<ValueId> hidden;
  for (const LowRank& addition : additions) {
    const Node* node = find_linear(graph, addition.node);
    CHECK(node != nullptr);
    hidden.push_back(insert(graph, static_cast<size_t>(node - graph.nodes.data()), addition));
  }
  return hidden;
}

}  // namespace hotaru
