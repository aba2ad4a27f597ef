#include "compiler/passes/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace hotaru {
namespace {

// Steps that follow the largest channel on either side, as 8-bit per-tensor quantisers have.
double product_error(std::span<const double> large, std::span<const double> small, std::span<const double> scales) {
  double reach[2] = {0, 0};
  double power[2] = {0, 0};
  for (size_t c = 0; c < scales.size(); c++) {
    reach[0] = std::max(reach[0], large[c] / scales[c]);
    reach[1] = std::max(reach[1], small[c] * scales[c]);
    power[0] += large[c] * large[c] / (scales[c] * scales[c]);
    power[1] += small[c] * small[c] * scales[c] * scales[c];
  }
  return reach[0] * reach[0] * power[1] + reach[1] * reach[1] * power[0];
}

Balance balanced(const std::vector<double>& large, const std::vector<double>& small) {
  return balance(large, small, [&](std::span<const double> scales) { return product_error(large, small, scales); });
}

TEST(Balance, SharesAnOutlierBetweenBothSides) {
  const std::vector<double> large = {1, 1, 400, 1, 1, 1, 1, 1};
  const std::vector<double> small(8, 1);
  const Balance chosen = balanced(large, small);
  EXPECT_LT(chosen.cost, 0.25 * chosen.cost_without);
  EXPECT_EQ(chosen.cost, product_error(large, small, chosen.scales));
  // 400 / s against s: the root of 400.
  EXPECT_NEAR(chosen.scales[2] / chosen.scales[0], 20, 1e-9);
}

TEST(Balance, LeavesEqualChannelsAlone) {
  const Balance chosen = balanced({2, 2, 2}, {3, 3, 3});
  EXPECT_EQ(chosen.scales, (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(chosen.cost, chosen.cost_without);
}

TEST(Balance, IsBoundedAndLeavesDeadChannelsAlone) {
  const Balance chosen = balanced({1e-9, 1, 1, 0, 1e9}, {1e9, 1, 0, 1, 1e-9});
  EXPECT_LT(chosen.cost, chosen.cost_without);
  EXPECT_EQ(chosen.scales[2], 1);
  EXPECT_EQ(chosen.scales[3], 1);
  EXPECT_EQ(*std::ranges::min_element(chosen.scales), 1.0 / 64);
  EXPECT_EQ(*std::ranges::max_element(chosen.scales), 64);
}

}  // namespace
}  // namespace hotaru
