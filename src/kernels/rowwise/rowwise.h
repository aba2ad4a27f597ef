// The ops between the matrix products: one pass over rows, float32 with a written order (tensor/numerics.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/slice.h"
#include "kernels/code_planes.h"
#include "kernels/packed.h"

namespace hotaru {

// out[t, d] = float(table[id[t], d]) * scale[id[t]]
struct EmbedArgs {
  int tokens = 0;
  int width = 0;                  // D
  const int32_t* id = nullptr;    // [T] in [0, V)
  const int8_t* table = nullptr;  // packed int8 [V, D]
  const float* scale = nullptr;   // [V]
  float* output = nullptr;        // [T, D] f32
};

// out[i] = in[row[i]], whatever the rows hold.
struct GatherArgs {
  int tokens = 0;  // rows of the output
  size_t row_bytes = 0;
  const int32_t* row = nullptr;      // [T]
  const std::byte* input = nullptr;  // [*, row_bytes]
  std::byte* output = nullptr;       // [T, row_bytes]
};

// r = 1 / sqrt(sum_of_squares(x[t]) / float(D) + epsilon);  y = x[t, d] * r;  y = y * gamma[d] if gamma
// out[t, d] = requantise_u8(y, inverse_scale, zero_point), or requantise_u16 in two planes (code_planes.h)
struct RmsNormArgs {
  int tokens = 0;
  int width = 0;
  float epsilon = 0;
  float inverse_scale = 0;
  float zero_point = 0;
  const float* input = nullptr;  // [T, D]
  const float* gamma = nullptr;  // [D] or null
  CodePlanes output;             // [T, D]
};

// Splits the fused projection, normalises (Qwen3), rotates and quantises: queries to s8, keys and values into the KV
// pages.
//   x = qkv[t, h, :]  (queries h < H, then G key heads, then G value heads)
//   queries and keys: x = x * r * gamma (r as in RmsNorm over E) if gamma; then with j < E/2 and (c, s) = cos, sin of
//   position t:
//     y[j] = fma(x[j], c[j], -(x[j + E/2] * s[j]));   y[j + E/2] = fma(x[j + E/2], c[j], x[j] * s[j])
//   query: requantise_s8(y, query_inverse_scale[h])
//   key:   y = y - key_shift[g, e] if key_shift;  u = requantise_u8(y, key_inverse_scale[g], key_zero_point[g])
//   split keys (attention.h): coefficients of a query against the cosines (e < E/2) and sines of the keys' positions,
//     A[j] = fma(y[j], terms[0, g, j], y[j + E/2] * terms[0, g, j + E/2])
//     A[j + E/2] = fma(y[j + E/2], terms[1, g, j], -(y[j] * terms[1, g, j + E/2]))
//     store_signed_code(A, bias_inverse_scale[h]); terms: the key bias over the scale of each column's codes
//   value: requantise_u8(x, value_inverse_scale[g], value_zero_point[g] + 128) - 128, stored as s8
struct RopeArgs {
  int tokens = 0;
  int query_heads = 0;
  int kv_heads = 0;
  int head_width = 0;
  float epsilon = 0;                           // of the q/k norm
  const float* qkv = nullptr;                  // [T, (H + 2 G) * E]
  const int32_t* position = nullptr;           // [T]
  const float* cosine = nullptr;               // [S, E/2]
  const float* sine = nullptr;                 // [S, E/2]
  const float* query_gamma = nullptr;          // [E] or null
  const float* key_gamma = nullptr;            // [E] or null
  const float* key_shift = nullptr;            // [G, E] or null: the static vector subtracted from every key
  const float* query_inverse_scale = nullptr;  // [H]
  const float* key_inverse_scale = nullptr;    // [G]
  const float* key_zero_point = nullptr;       // [G] in [0, 255]
  const float* value_inverse_scale = nullptr;  // [G]
  const float* value_zero_point = nullptr;     // [G] in [-128, 127]
  int8_t* query = nullptr;                     // [T, H, E] s8
  const float* bias_terms = nullptr;           // [2, G, E] or null: the keys have their bias
  const float* bias_inverse_scale = nullptr;   // [H]
  SignedPlanes bias_query = {};                // [T, H, E]
  std::byte* const* const* pages = nullptr;    // [T] -> page bases, as in attention.h
  size_t key_offset = 0;
  size_t value_offset = 0;
};

// out[t, f] = requantise_u8(silu(gate[t, f]) * up[t, f], inverse_scale, zero_point), or requantise_u16 in two planes
struct SwiGluArgs {
  int tokens = 0;
  int width = 0;  // F
  float inverse_scale = 0;
  float zero_point = 0;
  const float* gate = nullptr;  // [T, F]
  const float* up = nullptr;    // [T, F]
  size_t input_stride = 0;      // floats from one row of gate, and of up, to the next
  CodePlanes output = {};       // [T, F]
  size_t output_stride = 0;     // codes from one row to the next
};

using EmbedKernel = void (*)(const EmbedArgs&, Slice);
using GatherKernel = void (*)(const GatherArgs&, Slice);
using RmsNormKernel = void (*)(const RmsNormArgs&, Slice);
using RopeKernel = void (*)(const RopeArgs&, Slice);
using SwiGluKernel = void (*)(const SwiGluArgs&, Slice);

}  // namespace hotaru
