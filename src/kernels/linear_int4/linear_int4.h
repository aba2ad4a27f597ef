// Linear layer, 4-bit weights with group multipliers, 8-bit activations:
//
//   acc[t, n] = offset[n] + sum_g m[n, g] * sum_{k in g} u[t, k] * q[n, k]      exact in int32
//   y         = float(acc[t, n]) * scale[n]                                      (int -> float rounds half to even)
//   y         = y + bias[n]                          if bias
//   out[t, n] = residual ? out[t, n] + y : y
//
// offset[n] = -zero_point * sum_k m q folds the activations' zero point. Rows of the output are split among threads,
// never K.
//
// 16-bit activations u = 256 high + low, zero point z = 256 zh + zl (code_planes.h), are two calls after each other,
// each an exact sum like any other:
//   high plane: offset from zh, scale 256 * scale[n] (exact), no bias, residual as wanted
//   low plane:  offset from zl, scale[n], bias, always residual
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/slice.h"
#include "kernels/packed.h"

namespace hotaru {

struct LinearInt4Args {
  int tokens = 0;                   // T >= 1
  int inputs = 0;                   // K, a multiple of 32
  int outputs = 0;                  // N, any; weight is padded to a multiple of 16
  const uint8_t* input = nullptr;   // [T, K] u8
  bool is_tiled = false;            // the input lies in token tiles (packed.h): K % 64 = 0, for AMX from 12 tokens on
  const uint8_t* weight = nullptr;  // packed int4 [N, K]; 16-byte aligned, as any block of 16 rows is
  const int32_t* offset = nullptr;  // [N]
  const float* scale = nullptr;     // [N] row scale times activation scale
  const float* bias = nullptr;      // [N] or null
  float* output = nullptr;          // [T, N] f32, row stride N
  bool add_to_output = false;       // residual
  std::byte* workspace = nullptr;   // this thread's, 64-byte aligned, linear_workspace_bytes(T, K)
};

using LinearInt4Kernel = void (*)(const LinearInt4Args& args, Slice slice);

// Tokens that AMX copies as tiles: as many as stay in a second-level cache, but 32 of any length.
inline constexpr size_t kLinearTileBytes = size_t{1280} << 10;
inline constexpr size_t kLinearScratchBytes = size_t{128} << 10;

// Upper bound over all ISAs of one thread's scratch: activation sums (8 bytes per token and group) or sums that wait
// (256 bytes per token, where K > 1536), and an unpacked panel or 16 bits for the activations of 16 tokens; or tiles of
// tokens; and what does not grow.
constexpr size_t linear_workspace_bytes(int tokens, int inputs) {
  const auto rows = static_cast<size_t>(tokens);
  const auto width = static_cast<size_t>(inputs);
  const size_t sums = rows * width / kGroupInputs * 16;
  const size_t panel = width * 32;
  const size_t tile_width = (width + 63) / 64 * 64;
  const size_t tiles = std::min((rows + 15) / 16 * 16 * tile_width, std::max(kLinearTileBytes, 32 * tile_width));
  return std::max(sums + panel, tiles) + kLinearScratchBytes;
}

}  // namespace hotaru
