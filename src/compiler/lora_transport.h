// An adapter's matrices in the basis that the optimiser's rewrites left its linear in: W' = L W R, so A' = A R and
// B' = L B (QUANTISATION 4).
#pragma once

#include <vector>

#include "base/result.h"
#include "graph/low_rank.h"

namespace hotaru {

// `input_shift` [K] or empty: a constant that the linear's input has lost to the linear's bias (Node.input_shift); the
// addition then gets a bias of its own, B' A' input_shift.
Result<LowRank> transport(const Graph& graph, const LowRank& addition, const std::vector<double>& input_shift);

// matrix [rows, columns] times vector [columns]
std::vector<double> times(const std::vector<double>& matrix, const std::vector<double>& vector);

}  // namespace hotaru
