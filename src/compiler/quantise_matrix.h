// A weight matrix in its stored form: codes in the packed order of kernels/packed.h, a scale and a sum for every row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "compiler/quantise_row.h"

namespace hotaru {

// w[n, k] ~ row_scale[n] * m[n, k / 32] * code[n, k]  (int8: m = 1)
struct QuantisedMatrix {
  std::vector<uint8_t> packed;
  std::vector<float> row_scale;  // [N]
  std::vector<int32_t> row_sum;  // [N] sum_k m code: the device's offset is -zero_point times this
  double sqnr_db = 0;            // power of the weights over power of the error
};

struct MatrixView {
  std::span<const float> weights;  // [N, K]
  size_t rows = 0;                 // N
  size_t inputs = 0;               // K
};

// The same for int4, before packing.
struct Int4Matrix {
  Int4Matrix(size_t rows, size_t inputs);
  Int4Row row(size_t index);  // its scale is a copy

  size_t inputs;                     // K
  std::vector<int8_t> codes;         // [N, K]
  std::vector<uint8_t> multipliers;  // [N, K / 32]
  std::vector<float> row_scale;      // [N]
};

// Rows are shared among the pool's threads; the result does not depend on how many there are.
QuantisedMatrix quantise_matrix_int8(const MatrixView& matrix, ThreadPool& pool);
// `importance` [K] or empty; `group` 32, 64 or 128, dividing K.
QuantisedMatrix quantise_matrix_int4(const MatrixView& matrix, std::span<const float> importance, int group,
                                     ThreadPool& pool);
// Its two halves: the search, and the stored form of codes found in whatever way.
Int4Matrix search_matrix_int4(const MatrixView& matrix, std::span<const float> importance, int group, ThreadPool& pool);
QuantisedMatrix pack_matrix_int4(const MatrixView& matrix, Int4Matrix codes, ThreadPool& pool);

// The real values that codes stand for, [N, K].
std::vector<float> dequantise_int4(std::span<const uint8_t> packed, std::span<const float> row_scale, size_t inputs);
std::vector<float> dequantise_int8(std::span<const int8_t> packed, std::span<const float> row_scale, size_t inputs);

}  // namespace hotaru
