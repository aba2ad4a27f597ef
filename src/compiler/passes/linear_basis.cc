#include "compiler/passes/linear_basis.h"

#include <utility>

#include "base/check.h"

namespace hotaru {
namespace {

RewriteKind columns_kind(RewriteKind rows_kind) {
  switch (rows_kind) {
    case RewriteKind::kScaleRows:
      return RewriteKind::kScaleColumns;
    case RewriteKind::kRotateRows:
      return RewriteKind::kRotateColumns;
    case RewriteKind::kPermuteRows:
      return RewriteKind::kPermuteColumns;
    default:
      CHECK(false);
  }
}

}  // namespace

void add_rewrite(Graph& graph, ParameterId id, Rewrite rewrite) {
  graph.parameters[static_cast<size_t>(id)].rewrites.push_back(std::move(rewrite));
}

void rewrite_outputs(Graph& graph, const Node& linear, const Rewrite& rewrite) {
  Rewrite of_bias = rewrite;
  of_bias.kind = columns_kind(rewrite.kind);
  add_rewrite(graph, linear.weight, rewrite);
  if (linear.bias != kNone) add_rewrite(graph, linear.bias, std::move(of_bias));
}

void rewrite_inputs(Graph& graph, const Node& linear, const Rewrite& rewrite) {
  add_rewrite(graph, linear.weight, rewrite);
  if (linear.input_shift == kNone) return;
  // Rotations and permutations turn W and x alike; a scale of W divides x.
  Rewrite of_shift = rewrite;
  if (rewrite.kind == RewriteKind::kScaleColumns) {
    for (double& factor : of_shift.values) factor = 1 / factor;
  }
  add_rewrite(graph, linear.input_shift, std::move(of_shift));
}

}  // namespace hotaru
