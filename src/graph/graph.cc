// Building a graph. Its rules are in verify.cc, its text in print.cc.
#include "graph/graph.h"

#include <utility>

#include "base/check.h"

namespace hotaru {

ValueId Graph::add_value(std::string value_name, int64_t width) {
  CHECK_GT(width, 0);
  Value value;
  value.name = std::move(value_name);
  value.width = width;
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size()) - 1;
}

ParameterId Graph::add_parameter(Parameter parameter) {
  CHECK_GT(parameter.rows, 0);
  CHECK_GT(parameter.columns, 0);
  parameters.push_back(std::move(parameter));
  return static_cast<ParameterId>(parameters.size()) - 1;
}

std::vector<ParameterId> parameters_of(const Node& node) {
  return {node.weight,   node.bias,       node.frequency,    node.key_shift,
          node.key_bias, node.prefix_key, node.prefix_value, node.input_shift};
}

Node& Graph::add_node(Node node) {
  const int value_count = static_cast<int>(values.size());
  const int parameter_count = static_cast<int>(parameters.size());
  CHECK(node.output >= 0 && node.output < value_count);
  for (const ValueId input : node.inputs) CHECK(input >= 0 && input < value_count);
  for (const ParameterId id : parameters_of(node)) {
    CHECK(id >= kNone && id < parameter_count);
  }
  nodes.push_back(std::move(node));
  return nodes.back();
}

Graph::Range Graph::layer_nodes(int layer) const {
  Range range{0, 0};
  while (range.begin < nodes.size() && nodes[range.begin].layer != layer) range.begin++;
  range.end = range.begin;
  while (range.end < nodes.size() && nodes[range.end].layer == layer) range.end++;
  return range;
}

}  // namespace hotaru
