// Quantises an adapter that is already in its model's basis: A and B 8-bit by row, u = A x static 8-bit. B A has a
// free basis in the middle, B G^-1 G A: a Hadamard rotation spreads what few directions carry, a diagonal gives all of
// u one size, so that one static range fits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/float_executor.h"
#include "compiler/quantise_matrix.h"
#include "compiler/weights.h"
#include "graph/low_rank.h"

namespace hotaru {

struct QuantisedAddition {
  std::string node;
  size_t rank = 0;
  size_t inputs = 0;
  size_t outputs = 0;
  QuantisedMatrix down;     // [r, K]
  QuantisedMatrix up;       // [N, r padded to 32], row scales times the scale of u
  std::vector<float> bias;  // [N] or empty
  StaticRange hidden;       // of u
  double sqnr_db = 0;       // of u's codes on the calibration text
};

// The model's float twin, no adapter attached: streamed_graph and stored_rows, say.
struct FloatTwin {
  Graph graph;
  ParameterSource::RowReader matrices;
};

// `batch` is what u is measured on.
Result<std::vector<QuantisedAddition>> quantise_additions(const FloatTwin& twin, std::vector<LowRank> additions,
                                                          const SegmentBatch& batch, ThreadPool& pool);

}  // namespace hotaru
