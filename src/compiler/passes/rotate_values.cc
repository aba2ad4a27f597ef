#include <cmath>

#include "compiler/block.h"
#include "compiler/passes/linear_basis.h"
#include "compiler/passes/passes.h"
#include "compiler/rotation.h"

namespace hotaru {
namespace {

// Squared length of o's columns behind each value channel, summed over the query heads of its group: [G * E].
Result<std::vector<double>> output_power(const PassContext& context, const Block& block) {
  TRY_ASSIGN(const std::vector<float> weights, context.parameters->materialise(block.o->weight));
  const auto width = static_cast<size_t>(block.attention->head_width);
  const auto heads = static_cast<size_t>(block.attention->heads);
  const size_t group = heads / static_cast<size_t>(block.attention->kv_heads);
  std::vector<double> power(heads / group * width);
  for (size_t i = 0; i < weights.size(); i++) {
    const size_t column = i % (heads * width);
    const auto w = static_cast<double>(weights[i]);
    power[column / width / group * width + column % width] += w * w;
  }
  return power;
}

// Divisors d of the value channels. A rotated head spreads its power p evenly, so one step for all heads is as the root
// of the largest head's sum p / d^2, and its error, turned back, weighs sum n d^2 in the output, n being o's squared
// columns. In a head d^2 = sqrt(p / n) is best (Cauchy-Schwarz: (sum sqrt(p n))^2); over heads, the same power in all.
std::vector<double> divisors_of(const std::vector<double>& power, const std::vector<double>& output, size_t width) {
  std::vector<double> divisors(power.size(), 1);
  for (size_t first = 0; first < power.size(); first += width) {
    double head_power = 0;
    for (size_t c = first; c < first + width; c++) {
      if (power[c] > 0 && output[c] > 0) divisors[c] = std::pow(power[c] / output[c], 0.25);
      head_power += power[c] / (divisors[c] * divisors[c]);
    }
    const double size = std::sqrt(head_power / static_cast<double>(width));
    for (size_t c = first; c < first + width && size > 0; c++) divisors[c] *= size;
  }
  return divisors;
}

Result<void> scale_values(PassContext& context, const Block& block) {
  Graph& graph = *context.graph;
  const Node& attention = *block.attention;
  ChannelStatistics& values = context.observed[static_cast<size_t>(attention.inputs[2])];
  TRY_ASSIGN(const std::vector<double> output, output_power(context, block));
  const auto width = static_cast<size_t>(attention.head_width);
  const auto group = static_cast<size_t>(attention.heads / attention.kv_heads);
  const std::vector<double> divisors = divisors_of(values.power, output, width);
  Rewrite rows;
  rows.pass = "rotate-values";
  Rewrite columns = rows;
  rows.kind = RewriteKind::kScaleRows;
  columns.kind = RewriteKind::kScaleColumns;
  for (const double divisor : divisors) rows.values.push_back(1 / divisor);
  columns.values.resize(divisors.size() * group);
  for (size_t i = 0; i < columns.values.size(); i++) {
    columns.values[i] = divisors[i / width / group * width + i % width];
  }
  values.scale(rows.values);
  rewrite_outputs(graph, *block.v, rows);
  rewrite_inputs(graph, *block.o, columns);
  return {};
}

}  // namespace

// Per head of values a diagonal, then a Hadamard rotation; o_proj undoes both (QUANTISATION 1.4).
Result<void> rotate_values(PassContext& context) {
  constexpr uint64_t kSeed = 2;
  TRY(want_observed(context));
  Graph& graph = *context.graph;
  TRY_ASSIGN(const Rotation rotation, Rotation::create(static_cast<size_t>(graph.shape.head_width), kSeed));
  Rewrite rewrite;
  rewrite.pass = "rotate-values";
  rewrite.seed = kSeed;
  rewrite.order = static_cast<uint32_t>(rotation.order());
  rewrite.block = static_cast<uint32_t>(rotation.size());
  for (int layer = 0; layer < graph.shape.layers; layer++) {
    TRY_ASSIGN(const Block block, match_block(graph, layer));
    TRY(scale_values(context, block));
    rewrite.kind = RewriteKind::kRotateRows;
    rewrite_outputs(graph, *block.v, rewrite);
    rewrite.kind = RewriteKind::kRotateColumns;
    rewrite_inputs(graph, *block.o, rewrite);
  }
  return {};
}

}  // namespace hotaru
