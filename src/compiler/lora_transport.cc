#include "compiler/lora_transport.h"

#include "base/check.h"
#include "compiler/rewrites.h"

namespace hotaru {

std::vector<double> times(const std::vector<double>& matrix, const std::vector<double>& vector) {
  const size_t columns = vector.size();
  std::vector<double> product(matrix.size() / columns);
  for (size_t i = 0; i < product.size() * columns; i++) product[i / columns] += matrix[i] * vector[i % columns];
  return product;
}

Result<LowRank> transport(const Graph& graph, const LowRank& addition, const std::vector<double>& input_shift) {
  const Node* node = find_linear(graph, addition.node);
  CHECK(node != nullptr);
  const Parameter& weight = graph.parameters[static_cast<size_t>(node->weight)];
  const auto rank = static_cast<size_t>(addition.rank);
  LowRank moved = addition;
  TRY(rewrite_columns(weight.rewrites, rank, static_cast<size_t>(weight.columns), moved.down));
  TRY(rewrite_rows(weight.rewrites, static_cast<size_t>(weight.rows), rank, moved.up));
  if (!input_shift.empty()) moved.bias = times(moved.up, times(moved.down, input_shift));
  return moved;
}

}  // namespace hotaru
