// Cholesky from the last column to the first: A = R R^T with R upper triangular, in double.
#pragma once

#include <cstddef>
#include <span>

#include "base/thread_pool.h"

namespace hotaru {

// Of a[n, n] only the upper triangle, row by row every `stride`, is read and overwritten with R; false where A is not
// positive definite (or not finite). One thread: for small n.
bool factorise_upper(double* a, size_t n, size_t stride);

// The same with all threads of the pool, for large n. The result does not depend on how many there are.
bool factorise_upper(std::span<double> a, size_t n, ThreadPool& pool);

}  // namespace hotaru
