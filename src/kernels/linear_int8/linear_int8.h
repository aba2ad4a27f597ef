// Linear layer, 8-bit weights with one scale per row (lm_head, adapters), 8-bit activations:
//
//   acc[t, n] = offset[n] + sum_k u[t, k] * w[n, k]     exact in int32;  offset[n] = -zero_point * sum_k w
//   out[t, n] = float(acc[t, n]) * scale[n]             scale[n] = row scale * activation scale, computed by the
//   compiler
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/slice.h"
#include "kernels/packed.h"

namespace hotaru {

struct LinearInt8Args {
  int tokens = 0;
  int inputs = 0;                   // K, a multiple of 32
  int outputs = 0;                  // N
  const uint8_t* input = nullptr;   // [T, K] u8
  const int8_t* weight = nullptr;   // packed int8 [N, K]; 64-byte aligned
  const int32_t* offset = nullptr;  // [N]
  const float* scale = nullptr;     // [N]
  float* output = nullptr;          // [T, N] f32
  std::byte* workspace = nullptr;   // this thread's, linear_workspace_bytes(T, K)
};

using LinearInt8Kernel = void (*)(const LinearInt8Args& args, Slice slice);

}  // namespace hotaru
