// The second moments of a linear's input, damped and factorised for GPTQ: H + ridge = U diag(pivot) U^T with U unit
// upper triangular. Rounding column j to q_j when the errors e_i = w_i - q_i of the columns before it are known, the
// best value is w_j + sum_{i<j} e_i U_ij, and missing it by d costs pivot_j d^2: GPTQ without the inverse of H.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace hotaru {

struct GptqFactor {
  std::vector<uint32_t> order;  // [K] column of each processing position; groups stay together and aligned
  std::vector<float> unit;      // [K, K] U in processing order; only what is above the diagonal counts
  std::vector<float> pivot;     // [K] in processing order
  std::vector<bool> is_dead;    // [K] columns of inputs that are always zero: their diagonal counts as 1
  std::vector<float> diagonal;  // [K] of H, by column
  double damping = 0;           // of the mean diagonal
  float ridge = 0;              // added to the diagonal
  int dead_columns = 0;
};

// `moments` [K, K] symmetric. Columns of large moments come first, by groups. Damping is raised tenfold, up to 1, until
// the factorisation succeeds.
Result<GptqFactor> factorise_moments(std::span<const float> moments, int group, double damping, ThreadPool& pool);

}  // namespace hotaru
