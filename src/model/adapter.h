// A LoRA adapter as PEFT saves it (adapter_config.json and adapter_model.safetensors), read for one base model: every
// matrix is checked against the linear that it adapts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "graph/graph.h"
#include "graph/low_rank.h"

namespace hotaru {

struct PeftAdapter {
  std::string name;         // last component of the directory
  std::string base_model;   // what its author called the base model
  std::string source_hash;  // SHA-256 of the tensors' file and the config
  int64_t rank = 0;         // of the config; single linears may have another
  double alpha = 0;
  std::vector<std::string> targets;  // "q_proj": linears that it adapts somewhere
  std::vector<LowRank> additions;    // in the graph's order, in the base of the checkpoint
};

// Errors name the file and the tensor. `graph` is of the checkpoint or of a HAR made from it.
Result<PeftAdapter> open_adapter(const std::string& directory, const Graph& graph);

}  // namespace hotaru
