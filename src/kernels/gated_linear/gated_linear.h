// A linear layer whose outputs are gates and their values, and SwiGLU behind it, in one: each thread makes some
// channels of both in its own cache and multiplies them there. The two ops after each other give the same bits; for
// many rows they send all their floats through memory, for few all threads wait once more.
#pragma once

#include <cstddef>

#include "base/slice.h"
#include "kernels/linear_int4/linear_int4.h"
#include "kernels/rowwise/rowwise.h"

namespace hotaru {

struct KernelSet;

struct GatedLinearArgs {
  LinearInt4Args linear;  // N = 2 F: gates, then values. Its output is not written, its workspace one thread's
  SwiGluArgs swiglu;      // its input is the linear's output
  bool is_tiled = false;  // the products go into token tiles (packed.h) and not into rows: for AMX's own kernel
};

// Whether these two are one, and one that can be played: plain output, F a multiple of 64.
bool is_gated_linear(const LinearInt4Args& linear, const SwiGluArgs& swiglu);

size_t gated_linear_workspace_bytes(int tokens, int inputs);

// With the set's own kernel, where it has one for this; otherwise with its two ops, piece by piece.
void play_gated_linear(const GatedLinearArgs& args, const KernelSet& kernels, Slice slice);

// For kGatedKernelTokens or more, and products of one plane. workspace: linear_workspace_bytes(T, K)
using GatedLinearKernel = void (*)(const GatedLinearArgs& args, Slice slice);
inline constexpr int kGatedKernelTokens = 12;

// Whether the set's kernels, this one and linear_int4, take is_tiled for so many tokens.
bool can_tile_products(const KernelSet& kernels, int tokens);

}  // namespace hotaru
