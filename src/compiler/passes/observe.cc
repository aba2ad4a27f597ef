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

// One value of one layer, seen segment after segment. A segment's first token may be a sink, unlike all others; then a
// constant will stand for it, so it does not count.
class SegmentObserver {
 public:
  SegmentObserver(size_t width, const std::vector<int64_t>* lengths)
      : width_(width), lengths_(lengths), channels_(width) {}

  // Rows of whole segments.
  void add(std::span<const float> rows) {
    for (size_t begin = 0; begin < rows.size(); segment_++) {
      const auto tokens = static_cast<size_t>((*lengths_)[segment_]);
      const size_t skipped = tokens > 1 ? 1 : 0;
      channels_.add(rows.subspan(begin + skipped * width_, (tokens - skipped) * width_));
      begin += tokens * width_;
    }
  }
  [[nodiscard]] ChannelStatistics statistics() const { return channels_.statistics(); }

 private:
  size_t width_;
  const std::vector<int64_t>* lengths_;
  size_t segment_ = 0;
  ChannelObserver channels_;
};

std::map<ValueId, SegmentObserver> observers_of(const Graph& graph, int layer, const SegmentBatch& batch) {
  std::map<ValueId, SegmentObserver> observers;
  const auto add = [&](ValueId value) {
    const auto width = static_cast<size_t>(graph.values[static_cast<size_t>(value)].width);
    observers.try_emplace(value, width, &batch.lengths);
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
  const SegmentBatch batch = thinned(context.calibration->batch, kMostTokens);
  TRY(executor.begin(batch));
  Progress progress("observe", static_cast<uint64_t>(layers), "layers");
  for (int layer = 0; layer < layers; layer++) {
    auto observers = observers_of(graph, layer, batch);
    bool is_finite = true;
    TRY(executor.run_layer(layer, [&](ValueId value, std::span<const float> rows) {
      const auto found = observers.find(value);
      if (found == observers.end()) return;
      is_finite = is_finite && std::ranges::all_of(rows, [](float x) { return std::isfinite(x); });
      if (is_finite) found->second.add(rows);
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
