// Attention over the paged 8-bit KV cache. Query head h reads kv head g = h / (H / G); row t sees keys 0 ..
// position[t].
//
//   a[s]   = sum_e q[t, h, e] * k[s, g, e]                 int32; q s8 symmetric, k u8. The key's zero point multiplies
//                                                          sum_e q, the same for every s: softmax drops it.
//   m      = max_s a[s]                                    the whole row's maximum: no order, no rescaling
//   p[s]   = round_half_even(255 * 2^(float(a[s] - m) * score_scale[h]))     u8; probability.h
//   sum    = sum_s p[s]                                    int32
//   o[e]   = sum_s p[s] * v[s, g, e]  -  value_zero_point[g] * sum       int32; v s8 = code - 128, zero point likewise
//   y      = float(o[e]) * (value_scale[g] / float(sum))
//   out[t, h, e] = requantise_u8(y, output_inverse_scale, output_zero_point), or requantise_u16 in two planes
//
// Prefix tokens stand before every context: constants, P of them, that each row sees. Their weights may be far larger
// than any cached key's (attention sinks), so they have no part in m and are floats, on the scale of the codes p:
//
//   b[i]   = sum_e q[t, h, e] * prefix.key[i, g, e]        int32; keys s16, moved by the cached keys' zero point
//   w[i]   = 255 * exp2_polynomial(min(float(b[i]) * prefix.score_scale[h] - float(m) * score_scale[h], 24))
//   total  = float(sum) + w[0] + w[1] + ...                one after the other; float(sum) where P is 0
//   y      = float(o[e]) * (value_scale[g] / total)
//   y      = fma(float(prefix.value[i, g, e]), w[i] * prefix.value_scale[g] / total, y)     i = 0, 1, ...
//
// and y is what is requantised. prefix.key holds (key + key scale * key zero point) / prefix key scale: what
// float(m) * score_scale leaves out, it then has too.
//
// Split keys: the cache lacks the layer's key bias. Its part of a score, q . R_s bias, is a product of 16-bit
// coefficients that rope makes of each query (rowwise.h) and columns that are the same in all heads: the cosines and
// sines of position s as 15-bit codes (bias_columns.h). With coefficients 256 high + low and columns C:
//
//   c[s]   = sum_e high[t, h, e] * C[s, e] + low[t, h, e] * (C[s, e] >> 8)       int32: |c| <= E * (127 * 32767 + 128 *
//                                                          127) < 2^31, as E <= kMaxSplitHeadWidth
//   x[s]   = fma(float(c[s]), key_bias.scale[h], float(a[s]) * score_scale[h])
//   m      = max_s x[s]                                    finite floats: no order either
//   p[s]   = round_half_even(255 * 2^(x[s] - m))
//   w[i]   = 255 * exp2_polynomial(min(x[i] - m, 24))      x[i] from c of the prefix token's columns and
//                                                          float(b[i]) * prefix.score_scale[h]
//
// What low * (C & 255) would add to c is below its rounding. The columns' zero point adds the same to every c of a
// query: softmax drops it. prefix.key holds keys without the bias, too.
//
// score_scale[h] = query scale * key scale * log2(e) / sqrt(E). |a| <= E * 127 * 255 and |o| <= S * 255 * 255 must fit
// int32: S <= 32768 (checked when a program is loaded). Work is split over (row, kv head) units; a unit serves all H /
// G query heads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/slice.h"
#include "kernels/code_planes.h"
#include "kernels/packed.h"

namespace hotaru {

struct AttentionPrefix {
  int tokens = 0;                      // P <= kMaxPrefixTokens
  const int16_t* key = nullptr;        // [P, G, E]; E <= kMaxPrefixHeadWidth
  const int16_t* value = nullptr;      // [P, G, E]
  const float* score_scale = nullptr;  // [H] query scale * prefix key scale * log2(e) / sqrt(E)
  const float* value_scale = nullptr;  // [G]
};

struct AttentionKeyBias {
  const int8_t* high = nullptr;             // [T, H, E]; null: the keys have their bias
  const int8_t* low = nullptr;              // [T, H, E]
  const uint8_t* columns = nullptr;         // [S / 64][C >> 8, C & 255][page_side_bytes(E)], in a key page's order
  const int16_t* prefix_columns = nullptr;  // [P, E]
  const float* scale = nullptr;             // [H] coefficients' scale * 256 * log2(e) / sqrt(E)
};

struct AttentionArgs {
  int tokens = 0;                            // T
  int query_heads = 0;                       // H
  int kv_heads = 0;                          // G
  int head_width = 0;                        // E, a multiple of 16
  int max_context = 0;                       // S: bound of position[t] + 1
  const int8_t* query = nullptr;             // [T, H, E] s8
  const int32_t* position = nullptr;         // [T]
  std::byte* const* const* pages = nullptr;  // [T] -> page bases of the row's context; page p holds keys 64p .. 64p+63
  size_t key_offset = 0;                     // bytes from a page's base to this layer's keys [G][page_side_bytes(E)] u8
  size_t value_offset = 0;                   // ... to its values [G][page_side_bytes(E)] s8
  const float* score_scale = nullptr;        // [H]
  const float* value_scale = nullptr;        // [G]
  const int32_t* value_zero_point = nullptr;  // [G] in [-128, 127]
  float output_inverse_scale = 0;
  float output_zero_point = 0;
  CodePlanes output;  // [T, H * E]
  AttentionPrefix prefix;
  AttentionKeyBias key_bias = {};
  std::byte* workspace = nullptr;  // this thread's, 64-byte aligned, attention_workspace_bytes
};

using AttentionKernel = void (*)(const AttentionArgs& args, Slice slice);

inline constexpr int kMaxAttentionContext = 32768;
inline constexpr int kMaxPrefixTokens = 16;
inline constexpr int kMaxPrefixHeadWidth = 512;  // 512 * 127 * 32768 < 2^31
inline constexpr int kMaxSplitHeadWidth = 512;   // 512 * (127 * 32767 + 128 * 127) < 2^31

// Scores of up to 16 query rows (int32) and the probabilities (u8) of up to 32 over the context, sums and queries of
// those rows, and some padding: block_scratch in query_block.h.
constexpr size_t attention_workspace_bytes(int max_context, int head_width) {
  const size_t keys = (static_cast<size_t>(max_context) + kPageTokens - 1) / kPageTokens * kPageTokens;
  return 16 * keys * 6 + 16 * static_cast<size_t>(head_width) * 12 + (size_t{18} << 10);
}

}  // namespace hotaru
