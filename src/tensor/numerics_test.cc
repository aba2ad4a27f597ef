#include "tensor/numerics.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "tensor/random.h"

namespace hotaru {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Requantise, TiesGoToEven) {
  EXPECT_EQ(requantise_u8(0.5F, 1.0F, 0.0F), 0);
  EXPECT_EQ(requantise_u8(1.5F, 1.0F, 0.0F), 2);
  EXPECT_EQ(requantise_u8(2.5F, 1.0F, 0.0F), 2);
  EXPECT_EQ(requantise_u8(-0.5F, 1.0F, 128.0F), 128);
  EXPECT_EQ(requantise_s8(-0.5F, 1.0F), 0);
  EXPECT_EQ(requantise_s8(-1.5F, 1.0F), -2);
  EXPECT_EQ(requantise_s8(125.5F, 1.0F), 126);
}

TEST(Requantise, SaturatesAndSendsNaNLow) {
  EXPECT_EQ(requantise_u8(300.0F, 1.0F, 0.0F), 255);
  EXPECT_EQ(requantise_u8(-300.0F, 1.0F, 0.0F), 0);
  EXPECT_EQ(requantise_u8(kInfinity, 1.0F, 0.0F), 255);
  EXPECT_EQ(requantise_u8(-kInfinity, 1.0F, 0.0F), 0);
  EXPECT_EQ(requantise_u8(kNaN, 1.0F, 7.0F), 0);
  EXPECT_EQ(requantise_u8(kInfinity, 0.0F, 7.0F), 0);  // infinity times zero
  EXPECT_EQ(requantise_s8(1e9F, 1.0F), 127);
  EXPECT_EQ(requantise_s8(-1e9F, 1.0F), -127);
  EXPECT_EQ(requantise_s8(kNaN, 1.0F), -127);
  EXPECT_EQ(requantise_u8(3e38F, 3e38F, 0.0F), 255);  // overflows on the way
}

// x * s + z rounded twice is not fma(x, s, z): here the product rounds up to exactly 0.5, which the add keeps and the
// tie sends to even; fused, the sum stays below the tie and rounds down.
TEST(Requantise, MultiplyThenAddIsNotFused) {
  Random random(11);
  int different = 0;
  for (int i = 0; i < 200000; i++) {
    const float x = random.next_normal() * 3.0F;
    const float scale = 13.0F + random.next_uniform();
    const float separate = requantise_clamp(x, scale, 128.0F, 0.0F, 255.0F);
    const float product = x * scale;
    volatile float sum = product + 128.0F;
    EXPECT_EQ(separate, std::clamp(static_cast<float>(sum), 0.0F, 255.0F));
    if (separate != std::clamp(__builtin_fmaf(x, scale, 128.0F), 0.0F, 255.0F)) different++;
  }
  EXPECT_GT(different, 1000);  // otherwise this test could not see a fused multiply-add
}

long double relative_error(float got, long double want) {
  return std::fabs((static_cast<long double>(got) - want) / want);
}

TEST(Exp2, RelativeErrorOverTheRange) {
  long double worst = 0;
  for (int i = -120 * 4096; i <= 120 * 4096; i++) {
    const float x = static_cast<float>(i) / 4096.0F;
    worst = std::max(worst, relative_error(exp2_polynomial(x), std::exp2(static_cast<long double>(x))));
  }
  Random random(3);
  for (int i = 0; i < 500000; i++) {
    const float x = (random.next_uniform() - 0.5F) * 240.0F;
    worst = std::max(worst, relative_error(exp2_polynomial(x), std::exp2(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 2.3e-7L);
  RecordProperty("worst_relative_error", fmt::format("{:.3e}", static_cast<double>(worst)));
}

TEST(Exp2, ExactAtIntegersClampedOutside) {
  for (int n = -120; n <= 120; n++) EXPECT_EQ(exp2_polynomial(static_cast<float>(n)), std::ldexp(1.0F, n));
  EXPECT_EQ(exp2_polynomial(-kInfinity), std::ldexp(1.0F, -120));
  EXPECT_EQ(exp2_polynomial(1e30F), std::ldexp(1.0F, 120));
  EXPECT_EQ(exp2_polynomial(kNaN), std::ldexp(1.0F, -120));
}

TEST(Silu, CloseToTheFormulaAndFinite) {
  for (int i = -8000; i <= 8000; i++) {
    const float x = static_cast<float>(i) / 100.0F;
    const long double want = static_cast<long double>(x) / (1.0L + std::exp(-static_cast<long double>(x)));
    // The rounding of x log2 e costs |x| half an ulp of the exponent.
    EXPECT_NEAR(silu(x), static_cast<double>(want),
                1e-6 * (1.0 + std::fabs(x)) * std::fabs(static_cast<double>(want)) + 1e-30);
  }
  EXPECT_EQ(silu(0.0F), 0.0F);
  EXPECT_EQ(silu(1000.0F), 1000.0F);
  EXPECT_TRUE(std::isfinite(silu(-3e38F)));
}

// Each lane's value is visible only if added at its place of the tree: 1 + 2^-24 + ... loses bits in any other order.
TEST(TreeSum, AddsHalvesThenQuarters) {
  std::array<float, 16> lanes{};
  lanes[0] = 1.0F;
  lanes[8] = 0x1p-24F;
  EXPECT_EQ(tree_sum_16(lanes.data()), 1.0F);  // 1 and 2^-24 meet first, tie to even
  lanes[1] = 0x1p-24F;
  lanes[9] = 0x1p-24F;
  EXPECT_EQ(tree_sum_16(lanes.data()), 1.0F + 0x1p-23F);  // 1 and 9 meet before they meet 0

  Random random(5);
  std::array<float, 16> x{};
  for (int repeat = 0; repeat < 100; repeat++) {
    for (float& value : x) value = random.next_normal();
    std::array<float, 16> t = x;
    for (const size_t half : {8U, 4U, 2U, 1U}) {
      for (size_t j = 0; j < half; j++) t[j] = t[j] + t[j + half];
    }
    EXPECT_EQ(tree_sum_16(x.data()), t[0]);
  }
}

TEST(SumOfSquares, SixteenLanesInOrder) {
  Random random(6);
  for (const size_t count : {0U, 1U, 15U, 16U, 17U, 100U, 896U}) {
    std::vector<float> x(count);
    for (float& value : x) value = random.next_normal();
    std::array<float, 16> lanes{};
    for (size_t lane = 0; lane < 16; lane++) {
      for (size_t k = lane; k < count; k += 16) lanes[lane] = std::fma(x[k], x[k], lanes[lane]);
    }
    EXPECT_EQ(sum_of_squares(x.data(), count), tree_sum_16(lanes.data()));
  }
}

}  // namespace
}  // namespace hotaru
