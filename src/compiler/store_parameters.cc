#include "compiler/store_parameters.h"

#include <chrono>

namespace hotaru {
namespace {

StoredParameter& stored_of(PassContext& context, ParameterId id) { return context.stored[static_cast<size_t>(id)]; }
const Parameter& parameter_of(const PassContext& context, ParameterId id) {
  return context.graph->parameters[static_cast<size_t>(id)];
}

Result<void> store_values(PassContext& context, ParameterId id, fb::Layout layout) {
  if (id == kNone) return {};
  StoredParameter& stored = stored_of(context, id);
  if (stored.values != -1) return {};  // one rope table for all layers
  const std::string& name = parameter_of(context, id).name;
  if (layout == fb::Layout::F64) {
    TRY_ASSIGN(const std::vector<double> values, context.parameters->materialise_double(id));
    TRY_ASSIGN(stored.values, context.tensors->add_vector(name, layout, values));
    return {};
  }
  TRY_ASSIGN(const std::vector<float> values, context.parameters->materialise(id));
  TRY_ASSIGN(stored.values, context.tensors->add_vector(name, layout, values));
  return {};
}

}  // namespace

bool is_int8(const Graph& graph, const Node& node) {
  return node.kind == NodeKind::kEmbed || node.layer == static_cast<int>(graph.shape.layers);
}

Result<void> store_matrix(PassContext& context, const Node& node, const QuantisedMatrix& matrix) {
  StoredParameter& stored = stored_of(context, node.weight);
  const Parameter& parameter = parameter_of(context, node.weight);
  const fb::Layout layout = is_int8(*context.graph, node) ? fb::Layout::PackedInt8 : fb::Layout::PackedInt4;
  const TensorHeader header{
      parameter.name, layout, {static_cast<uint64_t>(parameter.rows), static_cast<uint64_t>(parameter.columns)}};
  TRY_ASSIGN(stored.packed, context.tensors->add(header, std::as_bytes(std::span(matrix.packed))));
  TRY_ASSIGN(stored.row_scale,
             context.tensors->add_vector(parameter.name + ".row_scale", fb::Layout::F32, matrix.row_scale));
  TRY_ASSIGN(stored.row_sum, context.tensors->add_vector(parameter.name + ".row_sum", fb::Layout::I32, matrix.row_sum));
  return {};
}

Result<void> store_int8_matrix(PassContext& context, const Node& node) {
  if (stored_of(context, node.weight).packed != -1) return {};
  const auto start = std::chrono::steady_clock::now();
  const Parameter& parameter = parameter_of(context, node.weight);
  TRY_ASSIGN(const std::vector<float> weights, context.parameters->materialise(node.weight));
  const MatrixView view{weights, static_cast<size_t>(parameter.rows), static_cast<size_t>(parameter.columns)};
  const QuantisedMatrix matrix = quantise_matrix_int8(view, *context.pool);
  TRY(store_matrix(context, node, matrix));
  MatrixReport report{parameter.name, node.layer, "int8 per row", parameter.rows, parameter.columns, matrix.sqnr_db};
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context.report->matrices.push_back(std::move(report));
  return {};
}

Result<void> store_vectors(PassContext& context, const Node& node) {
  const bool has_matrix = node.kind == NodeKind::kLinear || node.kind == NodeKind::kEmbed;
  for (const ParameterId id : parameters_of(node)) {
    if (has_matrix && id == node.weight) continue;
    TRY(store_values(context, id, id == node.frequency ? fb::Layout::F64 : fb::Layout::F32));
  }
  return {};
}

}  // namespace hotaru
