// Lowering of what lies between the qkv projection and o: the tensors of a block's rope and attention calls. Buffers
// and places in the KV page are the caller's.
#pragma once

#include <string>

#include "base/result.h"
#include "compiler/block.h"
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
  Result<void> add_prefix(const Node& node, fb::AttentionCallT& call);
  // A head's scale of scores against keys of that scale: exp(x / sqrt(E)) as a power of two; rounded once.
  [[nodiscard]] Result<float> score_scale(const Node& node, size_t head, float key_scale) const;
  [[nodiscard]] size_t query_heads() const { return static_cast<size_t>(graph_.shape.query_heads); }
  [[nodiscard]] size_t kv_heads() const { return static_cast<size_t>(graph_.shape.kv_heads); }
  [[nodiscard]] size_t head_width() const { return static_cast<size_t>(graph_.shape.head_width); }

  const Graph& graph_;
  LoweredTensors& tensors_;
};

}  // namespace hotaru
