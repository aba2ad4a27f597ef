#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"
#include "compiler/block.h"
#include "compiler/float_executor.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// Enough to see whether first tokens are special: beginnings of some segments.
constexpr size_t kTokensLookedAt = 2048;
constexpr int64_t kTokensOfASegment = 256;
// A residual stream that much larger at the first token than anywhere else is a sink (Xiao et al. 2023; Sun et al.
// 2024).
constexpr float kMassive = 8.0F;

SegmentBatch beginnings(const SegmentBatch& all) {
  SegmentBatch some;
  auto begin = all.ids.begin();
  for (size_t i = 0; i < all.lengths.size() && some.ids.size() < kTokensLookedAt; i++) {
    const int64_t tokens = std::min(all.lengths[i], kTokensOfASegment);
    some.ids.insert(some.ids.end(), begin, begin + tokens);
    some.lengths.push_back(tokens);
    begin += all.lengths[i];
  }
  return some;
}

struct Peaks {
  float first = 0;  // over all segments' first tokens
  float other = 0;
};

Peaks peaks_of(std::span<const float> residual, const SegmentBatch& batch) {
  Peaks peaks;
  const size_t width = residual.size() / batch.ids.size();
  size_t row = 0;
  for (const int64_t length : batch.lengths) {
    for (int64_t position = 0; position < length; position++, row++) {
      float& peak = position == 0 ? peaks.first : peaks.other;
      for (const float x : residual.subspan(row * width, width)) peak = std::max(peak, std::fabs(x));
    }
  }
  return peaks;
}

// How many times larger the first tokens' residual stream grows than any other token's, in the worst layer.
Result<float> sink_strength(const PassContext& context) {
  FloatExecutor executor(context.graph, context.parameters, context.pool);
  const SegmentBatch batch = beginnings(context.calibration->batch);
  TRY(executor.begin(batch));
  float strength = 0;
  const auto layers = static_cast<int>(context.graph->shape.layers);
  Progress progress("look for a sink", static_cast<uint64_t>(layers), "layers");
  for (int layer = 0; layer < layers; layer++) {
    TRY(executor.run_layer(layer));
    progress.advance();
    const Peaks peaks = peaks_of(executor.residual(), batch);
    if (peaks.other > 0) strength = std::max(strength, peaks.first / peaks.other);
  }
  return strength;
}

// What most segments begin with: behind a chat template it is the template's first token.
int32_t usual_first_token(const SegmentBatch& batch) {
  std::map<int32_t, int> counts;
  size_t begin = 0;
  for (const int64_t length : batch.lengths) {
    counts[batch.ids[begin]]++;
    begin += static_cast<size_t>(length);
  }
  return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first;
}

ParameterId add_constant(Graph& graph, const std::string& name, std::span<const float> rows, size_t prefix) {
  Parameter parameter;
  parameter.name = name;
  parameter.rows = static_cast<int64_t>(prefix);
  parameter.columns = static_cast<int64_t>(rows.size() / prefix);
  parameter.values.assign(rows.begin(), rows.end());
  return graph.add_parameter(std::move(parameter));
}

// Keys and values that the prefix has in every layer, from the graph while it has none.
Result<void> add_prefix(PassContext& context, const std::vector<int32_t>& prefix) {
  Graph& graph = *context.graph;
  std::map<ValueId, std::vector<float>> seen;
  const ValueObserver observer = [&seen](ValueId id, std::span<const float> rows) {
    if (const auto found = seen.find(id); found != seen.end()) found->second.assign(rows.begin(), rows.end());
  };
  for (const Node& node : graph.nodes) {
    if (node.kind != NodeKind::kAttention) continue;
    seen[node.inputs[1]];
    seen[node.inputs[2]];
  }
  FloatExecutor executor(&graph, context.parameters, context.pool);
  TRY(executor.begin({prefix, {static_cast<int64_t>(prefix.size())}}));
  for (int layer = 0; layer < static_cast<int>(graph.shape.layers); layer++) TRY(executor.run_layer(layer, observer));
  for (Node& node : graph.nodes) {
    if (node.kind != NodeKind::kAttention) continue;
    node.prefix_key = add_constant(graph, node.name + ".prefix_key", seen[node.inputs[1]], prefix.size());
    node.prefix_value = add_constant(graph, node.name + ".prefix_value", seen[node.inputs[2]], prefix.size());
  }
  graph.prefix = prefix;
  return {};
}

}  // namespace

Result<void> choose_prefix(PassContext& context) {
  const SegmentBatch& batch = context.calibration->batch;
  if (batch.lengths.empty() || !context.graph->prefix.empty()) return {};
  TRY_ASSIGN(const float strength, sink_strength(context));
  if (strength < kMassive) return {};
  const int32_t token = usual_first_token(batch);
  context.report->notes.push_back(
      fmt::format("the first token's residual stream is {:.0f} times the others': token {} becomes a constant prefix",
                  strength, token));
  log_info(context.report->notes.back());
  TRY(add_prefix(context, {token}));
  context.behind_prefix = std::make_unique<CalibrationSet>(*context.calibration);
  context.behind_prefix->batch = without_prefix(batch, {token});
  context.calibration = context.behind_prefix.get();
  return {};
}

}  // namespace hotaru
