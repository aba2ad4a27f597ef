// Plays a float graph layer by layer over a batch of segments: the reference for every accuracy figure, and the source
// of calibration. Only one layer's weights are held at a time unless all fit `cache_bytes`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/weights.h"
#include "graph/graph.h"

namespace hotaru {

// Independent token sequences, one after the other. Positions start at 0 in each, or after the graph's prefix tokens.
struct SegmentBatch {
  std::vector<int32_t> ids;
  std::vector<int64_t> lengths;
  // Tokens of the last segment with 0 here that stand before this one's own: a common beginning, played once. Empty:
  // 0s.
  std::vector<int64_t> shared = {};
  // A segment's first token whose logits are shown. Empty: 0s.
  std::vector<int64_t> shown_from = {};
};

// Sees a value of the graph: rows [T', width] of consecutive tokens, segment after segment, in order.
using ValueObserver = std::function<void(ValueId value, std::span<const float> rows)>;
// Sees logits of one token (index into the batch): [V].
using LogitSink = std::function<void(int64_t token, std::span<const float> logits)>;

class FloatExecutor {
 public:
  FloatExecutor(const Graph* graph, const ParameterSource* parameters, ThreadPool* pool,
                size_t cache_bytes = size_t{2} << 30);
  ~FloatExecutor();

  // Embeds a new batch. Ids out of the vocabulary or a segment longer than the model's positions: an error.
  Result<void> begin(SegmentBatch batch);
  // Runs one layer for the whole batch; layers go 0, 1, ... in order.
  Result<void> run_layer(int layer, const ValueObserver& observer = {});
  // Final norm and head. The sink gets every token's logits in order; null: only the observer looks (head input).
  Result<void> finish(const LogitSink& sink, const ValueObserver& observer = {});
  // The residual stream after the layers run so far, [tokens, D].
  [[nodiscard]] std::span<const float> residual() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All of the above for one sequence: logits of every position.
Result<void> float_logits(FloatExecutor& executor, const Graph& graph, std::span<const int32_t> ids,
                          const LogitSink& sink);

}  // namespace hotaru
