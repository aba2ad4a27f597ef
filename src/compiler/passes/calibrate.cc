#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"
#include "compiler/float_executor.h"
#include "compiler/histogram.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// What is asked of one value: its range, and for inputs of linears the power of every channel.
struct Probe {
  int layer = -1;
  bool is_symmetric = false;
  bool is_linear_input = false;
  Histogram histogram;
  std::vector<double> squares;  // [width]
  int64_t rows = 0;
};

using Probes = std::map<ValueId, Probe>;

Probes make_probes(const Graph& graph, int layer) {
  Probes probes;
  for (const Node& node : graph.nodes) {
    if (node.layer != layer) continue;
    if (node.kind == NodeKind::kLinear) {
      Probe& probe = probes[node.inputs[0]];
      probe.is_linear_input = true;
      probe.squares.resize(static_cast<size_t>(graph.values[static_cast<size_t>(node.inputs[0])].width));
    }
    if (node.kind == NodeKind::kAttention) {
      for (const ValueId input : node.inputs) probes[input].is_symmetric = input == node.inputs[0];
    }
  }
  for (auto& [value, probe] : probes) probe.layer = layer;
  return probes;
}

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

void observe(Probe& probe, std::span<const float> rows) {
  probe.histogram.add(rows);
  if (!probe.is_linear_input) return;
  const size_t width = probe.squares.size();
  for (size_t row = 0; row < rows.size(); row += width) {
    for (size_t k = 0; k < width; k++) {
      const auto x = static_cast<double>(rows[row + k]);
      probe.squares[k] += x * x;
    }
  }
  probe.rows += static_cast<int64_t>(rows.size() / width);
}

void settle(PassContext& context, ValueId id, const Probe& probe) {
  Value& value = context.graph->values[static_cast<size_t>(id)];
  const RangeChoice choice =
      probe.is_symmetric ? choose_symmetric_range(probe.histogram) : choose_unsigned_range(probe.histogram);
  value.bits = 8;
  value.is_symmetric = probe.is_symmetric;
  value.ranges = {choice.range};
  context.report->ranges.push_back({value.name, probe.layer, static_cast<double>(probe.histogram.lowest()),
                                    static_cast<double>(probe.histogram.highest()), choice.low, choice.high,
                                    choice.range, choice.sqnr_db});
  if (!probe.is_linear_input) return;
  std::vector<float>& power = context.channel_power[static_cast<size_t>(id)];
  for (const double square : probe.squares) {
    power.push_back(static_cast<float>(square / static_cast<double>(probe.rows)));
  }
}

}  // namespace

Result<void> calibrate(PassContext& context) {
  const Graph& graph = *context.graph;
  const auto layers = static_cast<int>(graph.shape.layers);
  context.channel_power.resize(graph.values.size());
  FloatExecutor executor(&graph, context.parameters, context.pool);
  TRY(executor.begin(context.calibration->batch));
  Progress progress("calibrate", static_cast<uint64_t>(layers) + 1, "layers");
  for (int layer = 0; layer <= layers; layer++) {
    Probes probes = make_probes(graph, layer);
    bool is_finite = true;
    const ValueObserver observer = [&probes, &is_finite](ValueId value, std::span<const float> rows) {
      const auto found = probes.find(value);
      if (found == probes.end()) return;
      if (!is_finite || !all_finite(rows)) {
        is_finite = false;
        return;
      }
      observe(found->second, rows);
    };
    TRY(layer < layers ? executor.run_layer(layer, observer) : executor.finish({}, observer));
    if (!is_finite)
      return invalid("layer {}: the float model gives a NaN or an infinity on the calibration text", layer);
    for (const auto& [value, probe] : probes) settle(context, value, probe);
    progress.advance();
  }
  return {};
}

}  // namespace hotaru
