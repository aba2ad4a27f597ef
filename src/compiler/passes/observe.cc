#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"
#include "compiler/float_executor.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// Channel statistics settle long before ranges do.
constexpr size_t kMostTokens = size_t{1} << 15;

std::map<ValueId, ChannelObserver> observers_of(const Graph& graph, int layer) {
  std::map<ValueId, ChannelObserver> observers;
  const auto add = [&](ValueId value) {
    observers.try_emplace(value, static_cast<size_t>(graph.values[static_cast<size_t>(value)].width));
  };
  for (const Node& node : graph.nodes) {
    if (node.layer != layer) continue;
    if (node.kind == NodeKind::kAttention) std::ranges::for_each(node.inputs, add);
    if (node.kind == NodeKind::kSwiGlu) add(node.output);
  }
  return observers;
}

}  // namespace

Result<void> observe(PassContext& context) {
  const Graph& graph = *context.graph;
  const auto layers = static_cast<int>(graph.shape.layers);
  context.observed.assign(graph.values.size(), {});
  FloatExecutor executor(&graph, context.parameters, context.pool);
  TRY(executor.begin(thinned(context.calibration->batch, kMostTokens)));
  Progress progress("observe", static_cast<uint64_t>(layers), "layers");
  for (int layer = 0; layer < layers; layer++) {
    auto observers = observers_of(graph, layer);
    bool is_finite = true;
    TRY(executor.run_layer(layer, [&](ValueId value, std::span<const float> rows) {
      const auto found = observers.find(value);
      if (found == observers.end()) return;
      is_finite = is_finite && std::ranges::all_of(rows, [](float x) { return std::isfinite(x); });
      found->second.add(rows);
    }));
    if (!is_finite)
      return invalid("layer {}: the float model gives a NaN or an infinity on the calibration text", layer);
    for (const auto& [value, observer] : observers) {
      context.observed[static_cast<size_t>(value)] = observer.statistics();
    }
    progress.advance();
  }
  return {};
}

}  // namespace hotaru
