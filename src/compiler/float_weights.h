// The float executor's hold on weights: all of them where they fit, otherwise one layer's.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "compiler/weights.h"
#include "graph/graph.h"

namespace hotaru {

class FloatWeights {
 public:
  FloatWeights(const Graph* graph, const ParameterSource* source, size_t cache_bytes);

  [[nodiscard]] bool keeps_all() const { return keeps_all_; }
  // Reads what the nodes use; afterwards data() of those parameters is valid until release().
  Result<void> load(std::span<const Node> nodes);
  // Puts other values in the place of those read.
  void replace(ParameterId id, std::vector<float> values);
  // [rows, columns]; null for kNone.
  [[nodiscard]] const float* data(ParameterId id) const;
  // Gives everything back, unless all weights are kept.
  void release();
  [[nodiscard]] size_t held_bytes() const;

 private:
  const ParameterSource* source_;
  bool keeps_all_;
  std::vector<std::vector<float>> weights_;  // by ParameterId; empty: not loaded
};

}  // namespace hotaru
