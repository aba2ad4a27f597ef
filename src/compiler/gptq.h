// GPTQ (Frantar et al. 2022) for the stored int4 form, with re-targeting: rounds a matrix column by column and lets the
// columns still to come make up for each error, as far as the inputs' correlations allow.
#pragma once

#include <functional>
#include <span>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/quantise_matrix.h"

namespace hotaru {

// Second moments over some tokens, means per token: u is a linear's input in the quantised model (already on its 8-bit
// grid) and x in the float one; r_q and r are the residual streams that the output is added to. The error comes in one
// of two forms, whichever is cheaper to sum: many linears share an input's, few outputs make an output's small.
struct InputMoments {
  std::span<const float> quantised;     // [K, K] H[i, j] = mean u_i u_j
  std::span<const float> input_error;   // [K, K] D[i, j] = mean (x - u)_i u_j
  std::span<const float> output_error;  // [N, K] S[n, k] = mean (W (x - u) + r - r_q)_n u_k
  // Both empty: as if x = u and r = r_q.
};

struct GptqProblem {
  MatrixView matrix;
  InputMoments moments;
  // Of tokens not in `moments` and with the same parts, for choosing beta and what to keep; empty: `moments` chooses,
  // and beta is at most 0.5.
  InputMoments held_out;
  size_t tokens = 0;  // that `moments` are means over; 0: many
};

struct GptqOptions {
  int group = 32;
  double damping = 0.01;  // of the mean diagonal; raised tenfold until H can be factorised, and where tokens are
                          // few and others held out, as far as these want it
  bool retarget =
      true;           // W* = W + beta S H^-1 (QEP; Qronos), S = W D where that is given, beta from {0, .25, .5, .75, 1}
  bool refit = true;  // row scales after rounding
  int descent_passes = 2;  // over all groups: each rounded anew with the others held, then single codes by one
  std::function<void()> on_tick = {};  // now and then, on the calling thread: a large matrix takes minutes
};

// Output errors E |(W x + r) - (Q u + r_q)|^2 less what no Q can change, E |W (x - u) + r - r_q|^2, over E |W u|^2, on
// the held-out tokens where there are any. Without input or output errors it is E |(W - Q) u|^2 / E |W u|^2; with them
// it is below zero where Q makes up for more of the error of what came before than it adds. In a large matrix some
// tiles of rows stand for all: they choose beta and what is kept.
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
