// A low-rank addition to a linear layer (LoRA), played behind it by the 8-bit linear kernel of any ISA:
//
//   h[t, r] = float(down_offset[r] + sum_k x[t, k] * a[r, k]) * down_scale[r]
//   u[t, r] = requantise_u8(h[t, r], inverse_scale, zero_point)
//   d[t, n] = float(up_offset[n] + sum_r u[t, r] * b[n, r]) * up_scale[n];  d[t, n] = d[t, n] + bias[n] if bias
//   y[t, n] = y[t, n] + d[t, n]
//
// Inputs of 16 bits are two planes of codes, 256 high + low, each multiplied by itself:
//   h[t, r] = float(high_offset[r] + sum_k high[t, k] * a[r, k]) * (256 * down_scale[r])
//           + float(down_offset[r] + sum_k low[t, k] * a[r, k]) * down_scale[r]
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/slice.h"
#include "kernels/linear_int8/linear_int8.h"

namespace hotaru {

// Inputs of the second product: the rank, padded with zero weights.
constexpr int padded_rank(int rank) { return (rank + 31) / 32 * 32; }

struct LowRankArgs {
  int tokens = 0;
  int inputs = 0;   // K, a multiple of 32
  int rank = 0;     // R
  int outputs = 0;  // N
  int stride = 0;   // floats from one row of y to the next

  const uint8_t* input = nullptr;  // x [T, K], or its low plane
  const uint8_t* high = nullptr;   // [T, K], or null: 8-bit inputs

  const int8_t* down = nullptr;          // a, packed int8 [R, K]; 64-byte aligned
  const int32_t* down_offset = nullptr;  // [R]
  const int32_t* high_offset = nullptr;  // [R], with `high`
  const float* down_scale = nullptr;     // [R] row scale times the input's scale
  const float* high_scale = nullptr;     // [R] 256 * down_scale, with `high`
  float inverse_scale = 0;               // of u
  float zero_point = 0;

  const int8_t* up = nullptr;          // b, packed int8 [N, padded_rank(R)]; 64-byte aligned
  const int32_t* up_offset = nullptr;  // [N]
  const float* up_scale = nullptr;     // [N] row scale times the scale of u
  const float* bias = nullptr;         // [N] or null

  float* output = nullptr;         // y: the first of N columns of row 0
  std::byte* workspace = nullptr;  // this thread's, 64-byte aligned, low_rank_workspace_bytes(T, K, R)
};

size_t low_rank_workspace_bytes(int tokens, int inputs, int rank);

// Every thread makes u for itself (it is small) and its own share of y: no thread waits for another.
void play_low_rank(const LowRankArgs& args, LinearInt8Kernel linear, Slice slice);

}  // namespace hotaru
