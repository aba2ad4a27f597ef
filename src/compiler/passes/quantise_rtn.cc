#include <chrono>

#include "base/log.h"
#include "compiler/passes/passes.h"
#include "compiler/quantise_matrix.h"

namespace hotaru {
namespace {

StoredParameter& stored_of(PassContext& context, ParameterId id) { return context.stored[static_cast<size_t>(id)]; }
const Parameter& parameter_of(const PassContext& context, ParameterId id) {
  return context.graph->parameters[static_cast<size_t>(id)];
}

// Embedding and head: one byte a weight, since each row is a token that must stay itself.
bool is_int8(const Graph& graph, const Node& node) {
  return node.kind == NodeKind::kEmbed || node.layer == static_cast<int>(graph.shape.layers);
}

Result<void> store_matrix(PassContext& context, const Node& node) {
  StoredParameter& stored = stored_of(context, node.weight);
  if (stored.packed != -1) return {};  // tied: embedding and head
  const auto start = std::chrono::steady_clock::now();
  const Parameter& parameter = parameter_of(context, node.weight);
  const bool int8 = is_int8(*context.graph, node);
  TRY_ASSIGN(const std::vector<float> weights, context.parameters->materialise(node.weight));
  const MatrixView view{weights, static_cast<size_t>(parameter.rows), static_cast<size_t>(parameter.columns)};
  std::vector<float> importance;
  if (!int8 && !context.channel_power.empty()) {
    importance = context.channel_power[static_cast<size_t>(node.inputs[0])];
  }
  const QuantisedMatrix matrix = int8 ? quantise_matrix_int8(view, *context.pool)
                                      : quantise_matrix_int4(view, importance, context.group, *context.pool);
  const fb::Layout layout = int8 ? fb::Layout::PackedInt8 : fb::Layout::PackedInt4;
  TRY_ASSIGN(stored.packed, context.tensors->add({parameter.name, layout, {view.rows, view.inputs}},
                                                 std::as_bytes(std::span(matrix.packed))));
  TRY_ASSIGN(stored.row_scale,
             context.tensors->add_vector(parameter.name + ".row_scale", fb::Layout::F32, matrix.row_scale));
  TRY_ASSIGN(stored.row_sum, context.tensors->add_vector(parameter.name + ".row_sum", fb::Layout::I32, matrix.row_sum));
  const std::string method = int8 ? "int8 per row" : fmt::format("rtn int4 group {}", context.group);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context.report->matrices.push_back(
      {parameter.name, node.layer, method, parameter.rows, parameter.columns, matrix.sqnr_db, seconds});
  return {};
}

// Biases, the gammas that stayed, rope frequencies.
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

Result<void> quantise_rtn(PassContext& context) {
  context.stored.resize(context.graph->parameters.size());
  Progress progress("quantise", context.graph->nodes.size(), "nodes");
  for (const Node& node : context.graph->nodes) {
    progress.set_detail(node.name);
    if (node.kind == NodeKind::kLinear || node.kind == NodeKind::kEmbed) {
      TRY(store_matrix(context, node));
    } else {
      TRY(store_values(context, node.weight, fb::Layout::F32));
    }
    TRY(store_values(context, node.bias, fb::Layout::F32));
    TRY(store_values(context, node.frequency, fb::Layout::F64));
    TRY(store_values(context, node.key_shift, fb::Layout::F32));
    progress.advance();
  }
  return {};
}

}  // namespace hotaru
