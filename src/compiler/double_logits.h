// The float graph in double precision, plainly, for tests: what exact rewrites are measured with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compiler/weights.h"
#include "graph/graph.h"

namespace hotaru {

// Logits [T, V] of one sequence.
std::vector<double> double_logits(const Graph& graph, const ParameterSource& parameters, std::span<const int32_t> ids);

}  // namespace hotaru
