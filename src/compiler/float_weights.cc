#include "compiler/float_weights.h"

#include <utility>

#include "base/check.h"
#include "base/memory.h"

namespace hotaru {
namespace {

bool fits(const Graph& graph, size_t bytes) {
  double needed = 0;
  for (const Parameter& parameter : graph.parameters) {
    needed += static_cast<double>(parameter.rows) * static_cast<double>(parameter.columns) * sizeof(float);
  }
  return needed <= static_cast<double>(bytes);
}

}  // namespace

FloatWeights::FloatWeights(const Graph* graph, const ParameterSource* source, size_t cache_bytes)
    : source_(source), keeps_all_(fits(*graph, cache_bytes)), weights_(graph->parameters.size()) {}

Result<void> FloatWeights::load(std::span<const Node> nodes) {
  for (const Node& node : nodes) {
    for (const ParameterId id : {node.weight, node.bias, node.key_bias, node.prefix_key, node.prefix_value}) {
      if (id == kNone || !weights_[static_cast<size_t>(id)].empty()) continue;
      TRY_ASSIGN(weights_[static_cast<size_t>(id)], source_->materialise(id));
    }
  }
  return {};
}

void FloatWeights::replace(ParameterId id, std::vector<float> values) {
  weights_[static_cast<size_t>(id)] = std::move(values);
}

const float* FloatWeights::data(ParameterId id) const {
  if (id == kNone) return nullptr;
  const std::vector<float>& weight = weights_[static_cast<size_t>(id)];
  CHECK(!weight.empty());
  return weight.data();
}

void FloatWeights::release() {
  if (keeps_all_) return;
  for (std::vector<float>& weight : weights_) give_memory_back(weight);
}

size_t FloatWeights::held_bytes() const {
  size_t count = 0;
  for (const std::vector<float>& weight : weights_) count += weight.capacity();
  return count * sizeof(float);
}

}  // namespace hotaru
