#include "compiler/block.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// The value bias as every query head of its group sees it: [H * E].
std::vector<double> per_query_head(const std::vector<double>& value_bias, const Node& attention) {
  const auto width = static_cast<size_t>(attention.head_width);
  const auto group = static_cast<size_t>(attention.heads / attention.kv_heads);
  std::vector<double> result(static_cast<size_t>(attention.heads) * width);
  for (size_t i = 0; i < result.size(); i++) {
    const size_t head = i / width;
    result[i] = value_bias[head / group * width + i % width];
  }
  return result;
}

ParameterId add_vector(Graph& graph, std::string name, std::vector<double> values) {
  Parameter parameter;
  parameter.name = std::move(name);
  parameter.columns = std::ssize(values);
  parameter.values = std::move(values);
  return graph.add_parameter(std::move(parameter));
}

// b_o + W_o shift
Result<std::vector<double>> folded_bias(const ParameterSource& parameters, const Node& output,
                                        const std::vector<double>& shift) {
  TRY_ASSIGN(const std::vector<double> weight, parameters.materialise_double(output.weight));
  std::vector<double> bias(weight.size() / shift.size());
  if (output.bias != kNone) {
    TRY_ASSIGN(bias, parameters.materialise_double(output.bias));
  }
  for (size_t n = 0; n < bias.size(); n++) {
    for (size_t k = 0; k < shift.size(); k++) bias[n] += weight[n * shift.size() + k] * shift[k];
  }
  return bias;
}

}  // namespace

Result<void> fold_value_bias(PassContext& context) {
  Graph& graph = *context.graph;
  for (int layer = 0; layer < graph.shape.layers; layer++) {
    TRY_ASSIGN(const Block block, match_block(graph, layer));
    if (block.v->bias == kNone) continue;
    TRY_ASSIGN(const std::vector<double> value_bias, context.parameters->materialise_double(block.v->bias));
    const std::vector<double> shift = per_query_head(value_bias, *block.attention);
    TRY_ASSIGN(std::vector<double> bias, folded_bias(*context.parameters, *block.o, shift));
    Node& output = graph.nodes[static_cast<size_t>(block.o - graph.nodes.data())];
    output.bias = add_vector(graph, output.name + ".bias", std::move(bias));
    output.input_shift = add_vector(graph, output.name + ".input_shift", shift);
    graph.nodes[static_cast<size_t>(block.v - graph.nodes.data())].bias = kNone;
  }
  return {};
}

}  // namespace hotaru
