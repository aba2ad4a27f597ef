#include <chrono>

#include "base/log.h"
#include "compiler/passes/passes.h"
#include "compiler/store_parameters.h"

namespace hotaru {
namespace {

Result<void> quantise_linear(PassContext& context, const Node& node) {
  const auto start = std::chrono::steady_clock::now();
  const Parameter& parameter = context.graph->parameters[static_cast<size_t>(node.weight)];
  TRY_ASSIGN(const std::vector<float> weights, context.parameters->materialise(node.weight));
  const MatrixView view{weights, static_cast<size_t>(parameter.rows), static_cast<size_t>(parameter.columns)};
  const std::vector<float> importance =
      context.channel_power.empty() ? std::vector<float>() : context.channel_power[static_cast<size_t>(node.inputs[0])];
  const QuantisedMatrix matrix = quantise_matrix_int4(view, importance, context.group, *context.pool);
  TRY(store_matrix(context, node, matrix));
  MatrixReport report{parameter.name, node.layer,        fmt::format("rtn int4 group {}", context.group),
                      parameter.rows, parameter.columns, matrix.sqnr_db};
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context.report->matrices.push_back(std::move(report));
  return {};
}

}  // namespace

Result<void> quantise_rtn(PassContext& context) {
  context.stored.resize(context.graph->parameters.size());
  Progress progress("quantise", context.graph->nodes.size(), "nodes");
  for (const Node& node : context.graph->nodes) {
    progress.set_detail(node.name);
    if (is_int8(*context.graph, node) && (node.kind == NodeKind::kLinear || node.kind == NodeKind::kEmbed)) {
      TRY(store_int8_matrix(context, node));
    } else if (node.kind == NodeKind::kLinear) {
      TRY(quantise_linear(context, node));
    }
    TRY(store_vectors(context, node));
    progress.advance();
  }
  return {};
}

}  // namespace hotaru
