#include "compiler/quantise_matrix.h"

#include <cmath>

#include "compiler/quantise_row.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

// Summed row by row, in order: the same for any number of threads.
double sqnr_db(const MatrixView& matrix, const std::vector<double>& errors) {
  double power = 0;
  double error = 0;
  for (const float w : matrix.weights) power += static_cast<double>(w) * static_cast<double>(w);
  for (const double e : errors) error += e;
  return power > 0 && error > 0 ? 10 * std::log10(power / error) : 0;
}

// This thread's blocks of 16 rows, as a range of rows.
Slice::Range rows_of(const Slice& slice, size_t rows) {
  const Slice::Range blocks = slice.range(padded_rows(rows) / kRowsPerBlock);
  return {blocks.begin * kRowsPerBlock, std::min(rows, blocks.end * kRowsPerBlock)};
}

}  // namespace

Int4Matrix::Int4Matrix(size_t rows, size_t input_count)
    : inputs(input_count), codes(rows * inputs), multipliers(rows * inputs / kGroupInputs), row_scale(rows) {}

Int4Row Int4Matrix::row(size_t index) {
  const size_t groups = inputs / kGroupInputs;
  return {std::span(codes).subspan(index * inputs, inputs), std::span(multipliers).subspan(index * groups, groups),
          row_scale[index]};
}

Int4Matrix search_matrix_int4(const MatrixView& matrix, std::span<const float> importance, int group,
                              ThreadPool& pool) {
  Int4Matrix result(matrix.rows, matrix.inputs);
  pool.run([&](Slice slice) {
    const Slice::Range rows = rows_of(slice, matrix.rows);
    for (size_t n = rows.begin; n < rows.end; n++) {
      Int4Row row = result.row(n);
      quantise_row_int4({matrix.weights.subspan(n * matrix.inputs, matrix.inputs), importance, group}, row);
      result.row_scale[n] = row.scale;
    }
  });
  return result;
}

QuantisedMatrix pack_matrix_int4(const MatrixView& matrix, Int4Matrix codes, ThreadPool& pool) {
  const size_t inputs = matrix.inputs;
  std::vector<double> errors(matrix.rows);
  QuantisedMatrix result;
  result.packed.resize(packed_int4_bytes(matrix.rows, inputs));
  result.row_scale = codes.row_scale;
  result.row_sum.resize(matrix.rows);
  pool.run([&](Slice slice) {
    const Slice::Range rows = rows_of(slice, matrix.rows);
    for (size_t n = rows.begin; n < rows.end; n++) {
      const Int4Row row = codes.row(n);
      errors[n] = squared_error(matrix.weights.subspan(n * inputs, inputs), row);
      for (size_t k = 0; k < inputs; k++) result.row_sum[n] += row.codes[k] * row.multipliers[k / kGroupInputs];
    }
    const Slice::Range blocks = slice.range(padded_rows(matrix.rows) / kRowsPerBlock);
    pack_int4_blocks({codes.codes.data(), codes.multipliers.data(), matrix.rows, inputs}, blocks.begin, blocks.end,
                     result.packed.data());
  });
  result.sqnr_db = sqnr_db(matrix, errors);
  return result;
}

QuantisedMatrix quantise_matrix_int4(const MatrixView& matrix, std::span<const float> importance, int group,
                                     ThreadPool& pool) {
  return pack_matrix_int4(matrix, search_matrix_int4(matrix, importance, group, pool), pool);
}

QuantisedMatrix quantise_matrix_int8(const MatrixView& matrix, ThreadPool& pool) {
  const size_t inputs = matrix.inputs;
  std::vector<double> errors(matrix.rows);
  std::vector<int8_t> codes(matrix.rows * inputs);
  QuantisedMatrix result;
  result.packed.resize(packed_int8_bytes(matrix.rows, inputs));
  result.row_scale.resize(matrix.rows);
  result.row_sum.resize(matrix.rows);
  pool.run([&](Slice slice) {
    const Slice::Range rows = rows_of(slice, matrix.rows);
    for (size_t n = rows.begin; n < rows.end; n++) {
      const auto weights = matrix.weights.subspan(n * inputs, inputs);
      const auto row = std::span(codes).subspan(n * inputs, inputs);
      const float scale = quantise_row_int8(weights, row);
      result.row_scale[n] = scale;
      for (size_t k = 0; k < inputs; k++) {
        const double difference = static_cast<double>(weights[k]) - static_cast<double>(scale) * row[k];
        errors[n] += difference * difference;
        result.row_sum[n] += row[k];
        result.packed[packed_int8_index(n, k, inputs)] = static_cast<uint8_t>(row[k]);
      }
    }
  });
  result.sqnr_db = sqnr_db(matrix, errors);
  return result;
}

std::vector<float> dequantise_int4(std::span<const uint8_t> packed, std::span<const float> row_scale, size_t inputs) {
  const size_t rows = row_scale.size();
  std::vector<int8_t> codes(rows * inputs);
  std::vector<uint8_t> multipliers(rows * inputs / kGroupInputs);
  unpack_int4(packed.data(), rows, inputs, codes.data(), multipliers.data());
  std::vector<float> weights(rows * inputs);
  for (size_t i = 0; i < weights.size(); i++) {
    const auto product = static_cast<float>(multipliers[i / kGroupInputs] * codes[i]);
    weights[i] = row_scale[i / inputs] * product;
  }
  return weights;
}

std::vector<float> dequantise_int8(std::span<const int8_t> packed, std::span<const float> row_scale, size_t inputs) {
  std::vector<float> weights(row_scale.size() * inputs);
  for (size_t i = 0; i < weights.size(); i++) {
    weights[i] = row_scale[i / inputs] * static_cast<float>(packed[packed_int8_index(i / inputs, i % inputs, inputs)]);
  }
  return weights;
}

}  // namespace hotaru
