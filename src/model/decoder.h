// The decoder that every family shares: norm, attention, norm, gated ffn; which biases and norms it has, the config
// says.
#pragma once

#include <string>

#include "graph/graph.h"
#include "model/config.h"

namespace hotaru {

// Names of a checkpoint's tensors, as its architecture was saved.
struct TensorNames {
  std::string prefix = "model.";  // "" where the bare model was saved
  std::string embedding = "model.embed_tokens.weight";
};

Graph build_decoder(const ModelConfig& config, const std::string& name, const TensorNames& names);

}  // namespace hotaru
