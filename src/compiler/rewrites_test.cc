#include "compiler/rewrites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "compiler/rotation.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

std::vector<double> numbers(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(random.next_normal());
  return values;
}

// [rows, inner] times [inner, columns]
std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b, size_t inner) {
  const size_t rows = a.size() / inner;
  const size_t columns = b.size() / inner;
  std::vector<double> result(rows * columns);
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      for (size_t k = 0; k < inner; k++) result[i * columns + j] += a[i * inner + k] * b[k * columns + j];
    }
  }
  return result;
}

constexpr size_t kRows = 24;
constexpr size_t kColumns = 36;

std::vector<double> shuffled(size_t count, size_t step) {
  std::vector<double> order(count);
  for (size_t i = 0; i < count; i++) order[i] = static_cast<double>((i * step + 2) % count);
  return order;
}

std::vector<Rewrite> all_kinds() {
  return {{.kind = RewriteKind::kScaleColumns, .pass = "a", .values = numbers(kColumns, 1)},
          {.kind = RewriteKind::kScaleRows, .pass = "b", .values = numbers(kRows, 2)},
          {.kind = RewriteKind::kRotateRows, .pass = "c", .values = {}, .seed = 3, .order = 12, .block = 12},
          {.kind = RewriteKind::kPermuteColumns, .pass = "d", .values = shuffled(kColumns, 5)},
          {.kind = RewriteKind::kRotateColumns, .pass = "e", .values = {}, .seed = 4, .order = 36},
          {.kind = RewriteKind::kPermuteRows, .pass = "f", .values = shuffled(kRows, 7)}};
}

void rewrite(const std::vector<Rewrite>& rewrites, std::vector<double>& matrix, size_t rows) {
  const size_t columns = matrix.size() / rows;
  const auto right = rewrite_columns(rewrites, rows, columns, matrix);
  ASSERT_TRUE(right.ok()) << right.error().message;
  const auto left = rewrite_rows(rewrites, rows, columns, matrix);
  ASSERT_TRUE(left.ok()) << left.error().message;
}

TEST(Rewrites, PermutationsTakeFromWhereTheValuesSay) {
  const std::vector<double> order = shuffled(kRows, 7);
  const std::vector<Rewrite> rows = {{.kind = RewriteKind::kPermuteRows, .pass = "p", .values = order}};
  const std::vector<Rewrite> columns = {{.kind = RewriteKind::kPermuteColumns, .pass = "p", .values = order}};
  const std::vector<double> before = numbers(kRows * kRows, 1);
  std::vector<double> by_rows = before;
  std::vector<double> by_columns = before;
  rewrite(rows, by_rows, kRows);
  rewrite(columns, by_columns, kRows);
  for (size_t r = 0; r < kRows; r++) {
    for (size_t c = 0; c < kRows; c++) {
      ASSERT_EQ(by_rows[r * kRows + c], before[static_cast<size_t>(order[r]) * kRows + c]);
      ASSERT_EQ(by_columns[r * kRows + c], before[r * kRows + static_cast<size_t>(order[c])]);
    }
  }
}

// y = x W^T with rotated inputs and rotated rows: (x Q) (W Q)^T = x W^T and x (Q^T W)^T = (x W^T) Q.
TEST(Rewrites, ARotatedInputMeetsRotatedColumns) {
  const Rotation rotation = *Rotation::create(kColumns, 4);
  const std::vector<Rewrite> rewrites = {
      {.kind = RewriteKind::kRotateColumns, .pass = "r", .values = {}, .seed = 4, .order = 36}};
  std::vector<double> weight = numbers(kRows * kColumns, 8);
  std::vector<double> input = numbers(kColumns, 9);
  const std::vector<double> before = product(weight, input, kColumns);
  rewrite(rewrites, weight, kRows);
  rotation.rotate_columns(input);
  const std::vector<double> after = product(weight, input, kColumns);
  for (size_t i = 0; i < kRows; i++) EXPECT_NEAR(before[i], after[i], 1e-12);
}

// An adapter: L (W + B A) R = L W R + (L B) (A R).
TEST(Rewrites, AnAdapterIsCarriedAlong) {
  constexpr size_t kRank = 5;
  std::vector<double> a = numbers(kRank * kColumns, 11);
  std::vector<double> b = numbers(kRows * kRank, 12);
  std::vector<double> weight = numbers(kRows * kColumns, 10);
  std::vector<double> merged = product(b, a, kRank);
  for (size_t i = 0; i < merged.size(); i++) merged[i] += weight[i];
  rewrite(all_kinds(), merged, kRows);
  rewrite(all_kinds(), weight, kRows);
  ASSERT_TRUE(rewrite_columns(all_kinds(), kRank, kColumns, a).ok());
  ASSERT_TRUE(rewrite_rows(all_kinds(), kRows, kRank, b).ok());
  const std::vector<double> change = product(b, a, kRank);
  for (size_t i = 0; i < merged.size(); i++) ASSERT_NEAR(merged[i], weight[i] + change[i], 1e-10) << i;
}

TEST(Rewrites, MixingIsKnown) {
  EXPECT_TRUE(mixes_rows(all_kinds()));
  const std::vector<Rewrite> scales = {all_kinds()[0], all_kinds()[1]};
  EXPECT_FALSE(mixes_rows(scales));
}

// A HAR may say anything.
TEST(Rewrites, WhatDoesNotFitIsRefused) {
  const auto message = [](const Rewrite& rewrite) {
    std::vector<double> matrix(kRows * kColumns);
    const auto columns = rewrite_columns(std::span(&rewrite, 1), kRows, kColumns, matrix);
    const auto rows = rewrite_rows(std::span(&rewrite, 1), kRows, kColumns, matrix);
    return !columns ? columns.error().message : !rows ? rows.error().message : "no error";
  };
  EXPECT_THAT(message({.kind = RewriteKind::kScaleRows, .pass = "p", .values = {1}}),
              HasSubstr("got 1 values, want 24"));
  EXPECT_THAT(message({.kind = RewriteKind::kRotateColumns, .pass = "p", .values = {}, .order = 12, .block = 24}),
              HasSubstr("got blocks of 24, want a divisor of 36"));
  EXPECT_THAT(message({.kind = RewriteKind::kRotateColumns, .pass = "p", .values = {}, .order = 28}),
              HasSubstr("got the order 28 for the width 36, want 36"));
  std::vector<double> order = shuffled(kRows, 7);
  for (const double wrong : {-1.0, 24.0, 0.5, std::nan(""), order[1]}) {
    order[0] = wrong;
    EXPECT_THAT(message({.kind = RewriteKind::kPermuteRows, .pass = "p", .values = order}),
                HasSubstr("want a permutation of 24"));
  }
}

}  // namespace
}  // namespace hotaru
