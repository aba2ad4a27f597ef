#include "compiler/rewrites.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "compiler/rotation.h"

namespace hotaru {
namespace {

Result<void> want_values(const Rewrite& rewrite, size_t extent) {
  if (rewrite.values.size() == extent) return {};
  return invalid("rewrite of pass '{}': got {} values, want {}", rewrite.pass, rewrite.values.size(), extent);
}

// What comes to each place: result[i] = source[order[i]].
Result<std::vector<size_t>> permutation_of(const Rewrite& rewrite, size_t extent) {
  TRY(want_values(rewrite, extent));
  std::vector<size_t> order(extent);
  std::vector<bool> is_taken(extent, false);
  for (size_t i = 0; i < extent; i++) {
    const double value = rewrite.values[i];
    const bool is_index = value >= 0 && value < static_cast<double>(extent) && std::floor(value) == value;
    if (!is_index || is_taken[static_cast<size_t>(value)]) {
      return invalid("rewrite of pass '{}': got {} at {}, want a permutation of {}", rewrite.pass, value, i, extent);
    }
    order[i] = static_cast<size_t>(value);
    is_taken[order[i]] = true;
  }
  return order;
}

// From what the file says, the same rotation as on the day it was made.
Result<Rotation> rotation_of(const Rewrite& rewrite, size_t extent) {
  const size_t width = rewrite.block == 0 ? extent : rewrite.block;
  if (extent % width != 0) {
    return invalid("rewrite of pass '{}': got blocks of {}, want a divisor of {}", rewrite.pass, width, extent);
  }
  TRY_ASSIGN(Rotation rotation, Rotation::create(width, rewrite.seed));
  if (rotation.order() == rewrite.order) return rotation;
  return invalid("rewrite of pass '{}': got the order {} for the width {}, want {}", rewrite.pass, rewrite.order, width,
                 rotation.order());
}

void permute_columns(std::span<const size_t> order, std::span<double> matrix) {
  std::vector<double> row(order.size());
  for (size_t first = 0; first < matrix.size(); first += order.size()) {
    for (size_t i = 0; i < order.size(); i++) row[i] = matrix[first + order[i]];
    std::copy(row.begin(), row.end(), matrix.data() + first);
  }
}

// In place, cycle by cycle: a second matrix would double the memory.
void permute_rows(std::span<const size_t> order, size_t columns, std::span<double> matrix) {
  const auto row_at = [&](size_t row) { return matrix.data() + row * columns; };
  std::vector<bool> is_done(order.size(), false);
  std::vector<double> saved(columns);
  for (size_t start = 0; start < order.size(); start++) {
    if (is_done[start]) continue;
    std::copy_n(row_at(start), columns, saved.data());
    size_t row = start;
    for (; order[row] != start; row = order[row]) {
      std::copy_n(row_at(order[row]), columns, row_at(row));
      is_done[row] = true;
    }
    std::copy_n(saved.data(), columns, row_at(row));
    is_done[row] = true;
  }
}

Result<void> rewrite_columns_once(const Rewrite& rewrite, size_t columns, std::span<double> matrix) {
  switch (rewrite.kind) {
    case RewriteKind::kScaleColumns:
      TRY(want_values(rewrite, columns));
      for (size_t first = 0; first < matrix.size(); first += columns) {
        for (size_t c = 0; c < columns; c++) matrix[first + c] *= rewrite.values[c];
      }
      return {};
    case RewriteKind::kRotateColumns: {
      TRY_ASSIGN(const Rotation rotation, rotation_of(rewrite, columns));
      rotation.rotate_columns(matrix);
      return {};
    }
    case RewriteKind::kPermuteColumns: {
      TRY_ASSIGN(const std::vector<size_t> order, permutation_of(rewrite, columns));
      permute_columns(order, matrix);
      return {};
    }
    default:
      return {};
  }
}

Result<void> rewrite_rows_once(const Rewrite& rewrite, size_t columns, std::span<double> matrix) {
  const size_t rows = matrix.size() / columns;
  switch (rewrite.kind) {
    case RewriteKind::kScaleRows:
      TRY(want_values(rewrite, rows));
      for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) matrix[r * columns + c] *= rewrite.values[r];
      }
      return {};
    case RewriteKind::kRotateRows: {
      TRY_ASSIGN(const Rotation rotation, rotation_of(rewrite, rows));
      rotation.rotate_rows(columns, matrix);
      return {};
    }
    case RewriteKind::kPermuteRows: {
      TRY_ASSIGN(const std::vector<size_t> order, permutation_of(rewrite, rows));
      permute_rows(order, columns, matrix);
      return {};
    }
    default:
      return {};
  }
}

}  // namespace

Result<void> rewrite_columns(std::span<const Rewrite> rewrites, size_t rows, size_t columns, std::span<double> matrix) {
  CHECK_EQ(matrix.size(), rows * columns);
  for (const Rewrite& rewrite : rewrites) TRY(rewrite_columns_once(rewrite, columns, matrix));
  return {};
}

Result<void> rewrite_rows(std::span<const Rewrite> rewrites, size_t rows, size_t columns, std::span<double> matrix) {
  CHECK_EQ(matrix.size(), rows * columns);
  for (const Rewrite& rewrite : rewrites) TRY(rewrite_rows_once(rewrite, columns, matrix));
  return {};
}

bool mixes_rows(std::span<const Rewrite> rewrites) {
  return std::ranges::any_of(rewrites, [](const Rewrite& rewrite) {
    return rewrite.kind == RewriteKind::kRotateRows || rewrite.kind == RewriteKind::kPermuteRows;
  });
}

}  // namespace hotaru
