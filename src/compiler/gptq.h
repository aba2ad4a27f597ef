// GPTQ (Frantar et al. 2022) for the stored int4 form, with re-targeting: rounds a matrix column by column and lets the
// columns still to come make up for each error, as far as the inputs' correlations allow.
#pragma once

#include <span>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/quantise_matrix.h"

namespace hotaru {

// Second moments of a linear's input over some tokens, means per token, [K, K] row-major: x of the float model, u of
// the quantised one (already on its 8-bit grid).
struct InputMoments {
  std::span<const float> quantised;  // H[i, j] = mean u_i u_j
  std::span<const float> cross;      // G[i, j] = mean x_i u_j; empty: no re-targeting
};

struct GptqProblem {
  MatrixView matrix;
  InputMoments moments;
  // Of tokens not in `moments`, for choosing beta; empty: `moments` chooses, and beta is at most 0.5.
  InputMoments held_out;
  // mean (r - r_q)_n u_k, [N, K]: what the float residual stream is ahead of the quantised one where this linear's
  // output is added to it; empty: none.
  std::span<const float> residual;
};

struct GptqOptions {
  int group = 32;
  double damping = 0.01;   // of the mean diagonal; raised tenfold until H can be factorised
  bool retarget = true;    // W* = W + beta (W (G - H) + R) H^-1 (QEP; Qronos), beta from {0, .25, .5, .75, 1}
  bool refit = true;       // row scales after rounding
  int descent_passes = 2;  // +-1 coordinate descent on the codes
};

// Output errors E |(W x + r) - (Q u + r_q)|^2 over E |W x|^2, over the held-out tokens where there are any. Without
// `cross`: E |(W - Q) u|^2 over E |W u|^2.
struct GptqReport {
  double rtn_error = 0;    // rounding with the scale search alone
  double plain_error = 0;  // GPTQ without re-targeting, refit and descent
  double error = 0;        // what was kept: never worse than rtn_error
  double damping = 0;      // used
  double beta = 0;         // chosen
  int dead_columns = 0;    // inputs that are always zero: their codes are 0
};

struct GptqResult {
  QuantisedMatrix matrix;
  GptqReport report;
};

// Sizes are CHECKed. The result does not depend on the number of threads. H that cannot be factorised even with a
// damping of 1: an error.
Result<GptqResult> quantise_matrix_gptq(const GptqProblem& problem, const GptqOptions& options, ThreadPool& pool);

}  // namespace hotaru
