#include "compiler/rotation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hotaru {
namespace {

// Rows of Q: the unit vectors turned.
std::vector<double> matrix_of(const Rotation& rotation) {
  const size_t n = rotation.size();
  std::vector<double> q(n * n);
  for (size_t i = 0; i < n; i++) q[i * n + i] = 1;
  rotation.rotate_columns(q);
  return q;
}

Rotation rotation_of(size_t n, uint64_t seed = 1) {
  auto rotation = Rotation::create(n, seed);
  EXPECT_TRUE(rotation.ok()) << rotation.error().message;
  return *std::move(rotation);
}

struct Width {
  size_t n;
  size_t order;
  bool is_hadamard = true;
};

// The hidden sizes and head widths of the supported families, and some that nobody has.
constexpr Width kWidths[] = {{1, 1},     {2, 1},        {16, 1},       {64, 1},          {128, 1},
                             {256, 1},   {96, 12},      {160, 20},     {24, 12},         {576, 36},
                             {896, 28},  {960, 60},     {1536, 12},    {2560, 20},       {88, 44},
                             {208, 104}, {3, 3, false}, {6, 3, false}, {100, 25, false}, {52, 13, false}};

TEST(Rotation, IsOrthogonal) {
  for (const Width& width : kWidths) {
    const Rotation rotation = rotation_of(width.n);
    EXPECT_EQ(rotation.order(), width.order) << width.n;
    EXPECT_EQ(rotation.is_hadamard(), width.is_hadamard) << width.n;
    std::vector<double> product = matrix_of(rotation);
    rotation.rotate_columns_back(product);  // Q Q^T, if back is the transpose
    double worst = 0;
    for (size_t i = 0; i < product.size(); i++) {
      worst = std::max(worst, std::fabs(product[i] - (i % width.n == i / width.n ? 1 : 0)));
    }
    EXPECT_LT(worst, 1e-12) << width.n;
  }
}

TEST(Rotation, BackIsTheTranspose) {
  for (const size_t n : {12U, 16U, 28U, 100U, 160U}) {
    const Rotation rotation = rotation_of(n);
    const std::vector<double> q = matrix_of(rotation);
    std::vector<double> back(n * n);
    for (size_t i = 0; i < n; i++) back[i * n + i] = 1;
    rotation.rotate_columns_back(back);
    for (size_t i = 0; i < n; i++) {
      for (size_t j = 0; j < n; j++) ASSERT_NEAR(back[i * n + j], q[j * n + i], 1e-15) << n;
    }
  }
}

TEST(Rotation, HadamardSpreadsAnOutlierEvenly) {
  for (const size_t n : {64U, 96U, 576U, 896U, 960U}) {
    for (const double entry : matrix_of(rotation_of(n))) {
      ASSERT_NEAR(std::fabs(entry), 1 / std::sqrt(static_cast<double>(n)), 1e-15) << n;
    }
  }
}

// 11 columns and rows do not fill the tiles; two blocks of 12.
TEST(Rotation, RowsAreTurnedByTheTranspose) {
  constexpr size_t kWidth = 12;
  constexpr size_t kRows = 24;
  constexpr size_t kColumns = 11;
  const Rotation rotation = rotation_of(kWidth);
  const std::vector<double> q = matrix_of(rotation);
  std::vector<double> matrix(kRows * kColumns);
  for (size_t i = 0; i < matrix.size(); i++) matrix[i] = static_cast<double>(i * i % 37);
  std::vector<double> turned = matrix;
  rotation.rotate_rows(kColumns, turned);
  for (size_t row = 0; row < kRows; row++) {
    for (size_t column = 0; column < kColumns; column++) {
      double sum = 0;
      for (size_t i = 0; i < kWidth; i++) {
        sum += q[i * kWidth + row % kWidth] * matrix[(row / kWidth * kWidth + i) * kColumns + column];
      }
      ASSERT_NEAR(turned[row * kColumns + column], sum, 1e-12);
    }
  }
}

TEST(Rotation, SeedsDiffer) {
  for (const size_t n : {64U, 100U}) {
    EXPECT_EQ(matrix_of(rotation_of(n, 3)), matrix_of(rotation_of(n, 3)));
    EXPECT_NE(matrix_of(rotation_of(n, 3)), matrix_of(rotation_of(n, 4)));
  }
}

TEST(Rotation, RefusesAHugePrime) {
  const auto refused = Rotation::create(2 * 1000003, 1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "rotation of width 2000006: its odd part is 1000003, want at most 2048");
}

}  // namespace
}  // namespace hotaru
