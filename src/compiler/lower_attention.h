// Lowering of what lies between the qkv projection and o: the tensors of a block's rope and attention calls. Buffers
// and places in the KV page are the caller's.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/result.h"
#include "compiler/block.h"
#include "compiler/key_columns.h"
#include "compiler/lower_tensors.h"
#include "format/hef_generated.h"

namespace hotaru {

class AttentionLowering {
 public:
  AttentionLowering(const Graph& graph, LoweredTensors& tensors) : graph_(graph), tensors_(tensors) {}

  // `name`: "layers.0.rope"
  Result<fb::RopeCallT> rope(const std::string& name, const Block& block);
  Result<fb::AttentionCallT> attention(const Block& block);

 private:
  Result<void> add_norms(const std::string& name, const Block& block, fb::RopeCallT& call);
  Result<void> add_rope_scales(const std::string& name, const Block& block, fb::RopeCallT& call);
  Result<void> add_prefix(const Block& block, fb::AttentionCallT& call);
  // Keys without their bias: what becomes of queries, and what attention does with it.
  Result<void> add_split(const std::string& name, const Block& block, fb::RopeCallT& call);
  Result<void> add_split(const Block& block, fb::AttentionCallT& call);
  struct SplitColumns {
    KeyColumns columns;
    int constants = -1;  // tensor of the codes' scale and offset
  };
  Result<const SplitColumns*> columns_of(const Node& rope);
  // The prefix tokens' keys in double as the cached ones are: without bias and shift, but with the zero point.
  Result<std::vector<double>> moved_prefix_keys(const Block& block);
  // A head's scale of scores against keys of that scale: exp(x / sqrt(E)) as a power of two; rounded once.
  [[nodiscard]] Result<float> score_scale(const Node& node, size_t head, float key_scale) const;
  [[nodiscard]] size_t query_heads() const { return static_cast<size_t>(graph_.shape.query_heads); }
  [[nodiscard]] size_t kv_heads() const { return static_cast<size_t>(graph_.shape.kv_heads); }
  [[nodiscard]] size_t head_width() const { return static_cast<size_t>(graph_.shape.head_width); }

  const Graph& graph_;
  LoweredTensors& tensors_;
  std::map<std::pair<ParameterId, float>, SplitColumns> split_columns_;  // by frequency and attention factor
};

}  // namespace hotaru
