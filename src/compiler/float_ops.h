// The float executor's arithmetic: one function a row or a tile. Sums have a fixed shape (16 lanes, then a tree) and no
// result depends on how many threads there are, because tiles are cut by size and not by thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <span>

#include "base/thread_pool.h"

namespace hotaru {

// task(i, thread) for every i in [0, count), each on whichever thread is free.
void for_each_task(ThreadPool& pool, size_t count, const std::function<void(size_t task, int thread)>& task);

// y = x / rms(x) * gamma (gamma null: ones)
struct RmsNorm {
  const float* gamma;
  float epsilon;
};
void rms_norm_row(const RmsNorm& norm, std::span<const float> x, float* y);

// Pairs (j, j + E/2) turned by an angle: cosine and sine [E/2] of the row's position.
struct Rotation {
  const float* cosine;
  const float* sine;
  size_t head_width;
};
void rope_row(const Rotation& rotation, std::span<const float> x, float* y);

// y = silu(gate) * up
void swiglu_row(std::span<const float> gate, std::span<const float> up, float* y);

// Turns the first `keys` scores into exp(score - max), the rest into 0; returns the sum.
float exponentiate_row(std::span<float> scores, size_t keys);

// y[rows, N] = x[rows, K] w[N, K]^T + bias, whole rows.
struct FloatLinear {
  const float* x;     // [rows, K]
  const float* w;     // [N, K]
  const float* bias;  // [N] or null
  float* y;           // [rows, N]
  size_t rows, n, k;
};
void float_linear(ThreadPool& pool, const FloatLinear& linear);

// sum[m, n] += sum over rows t of a[t, m] b[t, n].
struct OuterProducts {
  const float* a;  // [rows, M]
  const float* b;  // [rows, N]
  float* sum;      // [M, N]
  size_t rows, m, n;
  bool upper_triangle_only =
      false;  // what is below the diagonal need not be right: tiles without any of it are left out
};
void add_outer_products(ThreadPool& pool, const OuterProducts& products);

// Causal attention within each segment. Heads are neighbours in a row.
struct FloatAttention {
  const float* query;  // [T, H * E]
  const float* key;    // [T, G * E]
  const float* value;  // [T, G * E]
  float* output;       // [T, H * E]
  size_t heads, kv_heads, head_width;
  // Constants that every row sees besides its segment.
  size_t prefix_tokens = 0;           // P
  const float* prefix_key = nullptr;  // [P, G * E]
  const float* prefix_value = nullptr;
  // Split keys: every score also has a product of these, so that queries and keys may be rounded without them.
  const float* bias_query = nullptr;       // [T, H * E] or null
  const float* bias_key = nullptr;         // [T, G * E]
  const float* prefix_bias_key = nullptr;  // [P, G * E]
};
// lengths: tokens of each segment, one after the other. shared: rows of the last segment with 0 there that a segment
// sees before its own; empty: 0s.
void float_attention(ThreadPool& pool, const FloatAttention& attention, std::span<const int64_t> lengths,
                     std::span<const int64_t> shared = {});

}  // namespace hotaru
