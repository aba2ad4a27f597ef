// A low-rank addition to a linear of the graph (LoRA): y = W x + b becomes y = W x + b + B (A x) + c.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace hotaru {

struct LowRank {
  std::string node;          // the linear: "layers.0.q"
  int64_t rank = 0;          // r
  std::vector<double> down;  // A [r, K]
  std::vector<double> up;    // B [N, r], the adapter's scale multiplied in
  std::vector<double> bias;  // c [N], or empty
};

// Puts three nodes behind every named linear: NAME.lora_down, NAME.lora_up, NAME.lora_sum. What read the linear's
// output now reads the sum. Names and sizes are CHECKed. Returns the ids of A x, one for each addition.
std::vector<ValueId> attach(Graph& graph, std::span<const LowRank> additions);

// The linear of that name; null if there is none.
const Node* find_linear(const Graph& graph, std::string_view name);

}  // namespace hotaru
