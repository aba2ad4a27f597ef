// A parameter's rewrites applied to any matrix that shares one of its axes. W' = L W R: the ...Rows kinds make L, the
// ...Columns kinds make R, so they may be applied apart, and an adapter's A and B follow as A R and L B.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "graph/graph.h"

namespace hotaru {

// [rows, columns] in place, only the ...Columns kinds: matrix <- matrix R. A rewrite that does not fit: an error.
Result<void> rewrite_columns(std::span<const Rewrite> rewrites, size_t rows, size_t columns, std::span<double> matrix);
// Only the ...Rows kinds: matrix <- L matrix.
Result<void> rewrite_rows(std::span<const Rewrite> rewrites, size_t rows, size_t columns, std::span<double> matrix);

// A row of the result is made of more than that row: a rotation or permutation of rows is among them.
bool mixes_rows(std::span<const Rewrite> rewrites);

}  // namespace hotaru
