#include <algorithm>
#include <limits>
#include <set>

#include "compiler/block.h"
#include "compiler/passes/linear_basis.h"
#include "compiler/passes/passes.h"
#include "compiler/quantise_row.h"
#include "compiler/rotation.h"

namespace hotaru {
namespace {

constexpr uint64_t kSeeds = 4;
constexpr size_t kSampledRows = 32;

// rms(x Q) = rms(x), but a gamma does not commute with Q; and head and embedding are turned alike but not scaled alike.
Result<void> check_foldable(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    if (node.kind != NodeKind::kRmsNorm || node.weight == kNone) continue;
    return invalid("'{}' still has its gamma: want the passes untie-head and fold-norms before", node.name);
  }
  TRY_ASSIGN(const Ends ends, match_ends(graph));
  if (ends.head->weight != ends.embed->weight) return {};
  return invalid("embedding and head are one parameter: want the pass untie-head before");
}

// Rows that lie evenly over a matrix.
Result<std::vector<double>> sampled_rows(const PassContext& context, ParameterId id) {
  const Parameter& parameter = context.graph->parameters[static_cast<size_t>(id)];
  const auto columns = static_cast<size_t>(parameter.columns);
  TRY_ASSIGN(const std::vector<double> matrix, context.parameters->materialise_double(id));
  const size_t rows = matrix.size() / columns;
  const size_t count = std::min(rows, kSampledRows);
  std::vector<double> sample;
  for (size_t i = 0; i < count; i++) {
    const auto row = matrix.begin() + static_cast<std::ptrdiff_t>(i * rows / count * columns);
    sample.insert(sample.end(), row, row + parameter.columns);
  }
  return sample;
}

// Error that rounding to int4 makes on the turned rows, over their power.
double rounding_error(const Rotation& rotation, std::vector<double> rows, int group) {
  rotation.rotate_columns(rows);
  const size_t width = rotation.size();
  std::vector<int8_t> codes(width);
  std::vector<uint8_t> multipliers(width / 32);
  std::vector<float> row(width);
  double error = 0;
  double power = 0;
  for (size_t first = 0; first < rows.size(); first += width) {
    for (size_t k = 0; k < width; k++) {
      row[k] = static_cast<float>(rows[first + k]);
      power += rows[first + k] * rows[first + k];
    }
    Int4Row rounded{codes, multipliers};
    quantise_row_int4({row, {}, group}, rounded);
    error += squared_error(row, rounded);
  }
  return power > 0 ? error / power : 0;
}

// Queries and gates of the first, the middle and the last layer.
Result<std::vector<std::vector<double>>> samples_of(const PassContext& context) {
  const auto layers = static_cast<int>(context.graph->shape.layers);
  std::vector<std::vector<double>> samples;
  for (const int layer : std::set<int>{0, layers / 2, layers - 1}) {
    TRY_ASSIGN(const Block block, match_block(*context.graph, layer));
    for (const Node* linear : {block.q, block.gate}) {
      TRY_ASSIGN(std::vector<double> rows, sampled_rows(context, linear->weight));
      samples.push_back(std::move(rows));
    }
  }
  return samples;
}

struct Candidate {
  uint64_t seed = 0;
  size_t order = 0;
  double error = std::numeric_limits<double>::infinity();
};

Result<Candidate> best_seed(PassContext& context) {
  TRY_ASSIGN(const auto samples, samples_of(context));
  Candidate best;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    TRY_ASSIGN(const Rotation rotation, Rotation::create(static_cast<size_t>(context.graph->shape.width), seed));
    double error = 0;
    for (const std::vector<double>& rows : samples) error += rounding_error(rotation, rows, context.group);
    error /= static_cast<double>(samples.size());
    if (error < best.error) best = {seed, rotation.order(), error};
    context.note +=
        fmt::format("{}seed {}: {:.5f}", seed == 1 ? "relative error of rounded rows by " : ", ", seed, error);
  }
  context.note += fmt::format("; kept seed {}, Hadamard order {}", best.seed, best.order);
  return best;
}

}  // namespace

Result<void> rotate_residual(PassContext& context) {
  Graph& graph = *context.graph;
  TRY(check_foldable(graph));
  TRY_ASSIGN(const Candidate chosen, best_seed(context));
  Rewrite inputs;
  inputs.kind = RewriteKind::kRotateColumns;
  inputs.pass = "rotate-residual";
  inputs.seed = chosen.seed;
  inputs.order = static_cast<uint32_t>(chosen.order);
  Rewrite outputs = inputs;
  outputs.kind = RewriteKind::kRotateRows;
  TRY_ASSIGN(const Ends ends, match_ends(graph));
  add_rewrite(graph, ends.embed->weight, inputs);  // its rows are what it puts out
  rewrite_inputs(graph, *ends.head, inputs);
  for (int layer = 0; layer < graph.shape.layers; layer++) {
    TRY_ASSIGN(const Block block, match_block(graph, layer));
    for (const Node* linear : {block.q, block.k, block.v, block.gate, block.up}) rewrite_inputs(graph, *linear, inputs);
    for (const Node* linear : {block.o, block.down}) rewrite_outputs(graph, *linear, outputs);
  }
  return {};
}

}  // namespace hotaru
