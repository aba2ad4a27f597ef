// The sweep of GPTQ over a tile of rows, and solving with the same factor. A tile is one thread's; tiles do not depend
// on each other.
#pragma once

#include <span>

#include "compiler/gptq_factor.h"
#include "compiler/quantise_matrix.h"

namespace hotaru {

// Rows [first, first + count) of a matrix.
struct RowTile {
  size_t first = 0;
  size_t count = 0;
};

// x <- x (H + ridge)^-1, x [count, K]
void solve_rows(const GptqFactor& factor, std::span<float> x);

// Codes and multipliers of the tile's rows for `target` [count, K]; out.row_scale is given.
void sweep_rows(const GptqFactor& factor, int group, std::span<const float> target, RowTile tile, Int4Matrix& out);

}  // namespace hotaru
