// Refinement of codes after GPTQ's sweep: the closed form of the row scale, and descent over groups, each rounded anew
// with all others held, then single codes by one up or down. No step raises the error.
#pragma once

#include <span>

#include "compiler/gptq_factor.h"
#include "compiler/gptq_sweep.h"

namespace hotaru {

// Lowers (w* - q) A (w* - q)^T with A = H + ridge for each row.
struct RefineProblem {
  std::span<const float> moments;  // [K, K] H
  float ridge = 0;
  int group = 32;
  bool refit = true;  // row scales before every pass and at the end
  int passes = 2;
  std::span<const float> target;  // [count, K] w* A
};
void refine_rows(const RefineProblem& problem, RowTile tile, Int4Matrix& codes);

}  // namespace hotaru
