#include <algorithm>
#include <cmath>
#include <numeric>

#include "compiler/block.h"
#include "compiler/passes/balance.h"
#include "compiler/passes/linear_basis.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// Of int4 with group multipliers on normal numbers: about 20 dB.
constexpr double kWeightNoise = 0.01;

// What down's output loses, up to a factor: every input has the step that the largest channel asks for, every weight of
// a group the step that its largest column asks for. The groups are those of permute-ffn, by falling power.
class DownError {
 public:
  DownError(const ChannelStatistics& input, const std::vector<double>& column_power, size_t group)
      : input_(input), column_power_(column_power), group_(group) {}

  double operator()(std::span<const double> scales) const {
    double reach = 0;
    double weights = 0;
    std::vector<double> power(scales.size());
    for (size_t c = 0; c < scales.size(); c++) {
      const double square = scales[c] * scales[c];
      reach = std::max(reach, input_.typical_peak[c] / scales[c]);
      weights += column_power_[c] * square;
      power[c] = input_.power[c] / square;
    }
    const double step = 2 * reach / 255;
    return step * step / 12 * weights + kWeightNoise * weight_error(scales, power);
  }

 private:
  [[nodiscard]] double weight_error(std::span<const double> scales, const std::vector<double>& power) const {
    std::vector<size_t> order(scales.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, [&power](size_t a, size_t b) { return power[a] > power[b]; });
    double error = 0;
    for (size_t first = 0; first < order.size(); first += group_) {
      double largest = 0;
      double inputs = 0;
      for (size_t i = first; i < std::min(first + group_, order.size()); i++) {
        const size_t c = order[i];
        largest = std::max(largest, column_power_[c] * scales[c] * scales[c]);
        inputs += power[c];
      }
      error += largest * inputs;
    }
    return error;
  }

  const ChannelStatistics& input_;
  const std::vector<double>& column_power_;
  size_t group_;
};

Result<std::vector<double>> column_power(const ParameterSource& parameters, const Parameter& parameter,
                                         ParameterId id) {
  TRY_ASSIGN(const std::vector<float> weights, parameters.materialise(id));
  std::vector<double> power(static_cast<size_t>(parameter.columns));
  for (size_t first = 0; first < weights.size(); first += power.size()) {
    for (size_t c = 0; c < power.size(); c++) {
      const auto w = static_cast<double>(weights[first + c]);
      power[c] += w * w;
    }
  }
  return power;
}

// Returns the error's ratio, after to before.
Result<double> scale_layer(PassContext& context, int layer) {
  Graph& graph = *context.graph;
  TRY_ASSIGN(const Block block, match_block(graph, layer));
  const ParameterId down = block.down->weight;
  ChannelStatistics& input = context.observed[static_cast<size_t>(block.swiglu->output)];
  TRY_ASSIGN(const std::vector<double> power,
             column_power(*context.parameters, graph.parameters[static_cast<size_t>(down)], down));
  std::vector<double> norms(power.size());
  std::ranges::transform(power, norms.begin(), [](double square) { return std::sqrt(square); });
  const DownError error(input, power, static_cast<size_t>(context.group));
  const Balance chosen = balance(input.typical_peak, norms, error);
  Rewrite columns;
  columns.kind = RewriteKind::kScaleColumns;
  columns.pass = "scale-up-down";
  columns.values = chosen.scales;
  Rewrite rows = columns;
  rows.kind = RewriteKind::kScaleRows;
  for (double& factor : rows.values) factor = 1 / factor;
  input.scale(rows.values);
  rewrite_outputs(graph, *block.up, rows);
  rewrite_inputs(graph, *block.down, columns);
  return chosen.cost_without > 0 ? chosen.cost / chosen.cost_without : 1;
}

}  // namespace

Result<void> scale_up_down(PassContext& context) { return balance_layers(context, "down_proj", scale_layer); }

}  // namespace hotaru
