#include "compiler/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/numerics.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

std::vector<float> normal_values(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& x : values) x = random.next_normal();
  return values;
}

double real_cost(const std::vector<float>& values, const StaticRange& range) {
  double sum = 0;
  for (const float x : values) {
    const uint8_t code = requantise_u8(x, 1.0F / range.scale, static_cast<float>(range.zero_point));
    const double difference = static_cast<double>(x) - static_cast<double>(range.scale) * (code - range.zero_point);
    sum += difference * difference;
  }
  return sum;
}

TEST(Histogram, DoesNotDependOnTheOrderOfValues) {
  std::vector<float> values = normal_values(20000, 1);
  values[100] = -50;
  values[19000] = 1e-6F;
  Histogram forwards;
  for (size_t i = 0; i < values.size(); i += 100) forwards.add(std::span(values).subspan(i, 100));
  std::reverse(values.begin(), values.end());
  Histogram backwards;
  backwards.add(values);
  EXPECT_EQ(forwards.cost({-3, 4}, 256), backwards.cost({-3, 4}, 256));
  EXPECT_EQ(forwards.cost({-0.1, 0.1}, 256), backwards.cost({-0.1, 0.1}, 256));
  EXPECT_EQ(forwards.lowest(), -50);
  EXPECT_EQ(forwards.count(), 20000U);
}

TEST(Histogram, CostIsWhatTheQuantiserReallyCosts) {
  const std::vector<float> values = normal_values(200000, 2);
  Histogram histogram;
  histogram.add(values);
  const RangeChoice choice = choose_unsigned_range(histogram);
  const double expected = histogram.cost({choice.low, choice.high}, 256);
  EXPECT_NEAR(real_cost(values, choice.range) / expected, 1.0, 0.05);
}

TEST(Histogram, ClipsRareOutliersButNotFrequentOnes) {
  std::vector<float> values = normal_values(1000000, 3);
  values[5] = 20;
  Histogram rare;
  rare.add(values);
  const RangeChoice clipped = choose_unsigned_range(rare);
  EXPECT_LT(clipped.high, 10);
  EXPECT_LT(real_cost(values, clipped.range), 0.5 * rare.cost({rare.lowest(), 20}, 256));
  for (size_t i = 0; i < values.size(); i += 50) values[i] = 20;
  Histogram frequent;
  frequent.add(values);
  EXPECT_GT(choose_unsigned_range(frequent).high, 19);
}

TEST(Histogram, RangesHoldZero) {
  Histogram positive;
  positive.add(std::vector<float>{5, 6, 7});
  EXPECT_EQ(choose_unsigned_range(positive).range.zero_point, 0);
  Histogram zeros;
  zeros.add(std::vector<float>(10, 0.0F));
  EXPECT_GT(choose_unsigned_range(zeros).range.scale, 0);
  EXPECT_GT(choose_symmetric_range(zeros).range.scale, 0);
}

TEST(Histogram, SymmetricRangeCoversBothSides) {
  std::vector<float> values = normal_values(1000, 4);
  values[0] = -8;
  values[1] = 8;
  for (size_t i = 2; i < 100; i++) values[i] = 7.9F;
  Histogram histogram;
  histogram.add(values);
  const RangeChoice choice = choose_symmetric_range(histogram);
  EXPECT_EQ(choice.range.zero_point, 0);
  EXPECT_NEAR(choice.range.scale * 127, 8, 0.4);
}

TEST(Histogram, WholeRangesReachTheExtremes) {
  std::vector<float> values = normal_values(100000, 7);
  values.push_back(-50);
  Histogram histogram;
  histogram.add(values);
  const RangeChoice whole = whole_unsigned_range(histogram, 8);
  EXPECT_EQ(whole.low, -50);
  EXPECT_EQ(whole.high, static_cast<double>(histogram.highest()));
  EXPECT_EQ(whole_symmetric_range(histogram).low, -50);
  const RangeChoice chosen = choose_unsigned_range(histogram);
  EXPECT_GT(chosen.low, whole.low) << "one value in a hundred thousand gives way to the others";
  EXPECT_GT(chosen.sqnr_db, whole.sqnr_db);
}

// Over all of [0, 65535], and 48 dB finer than 8 bits over the same.
TEST(Histogram, WholeRangeOn16Bits) {
  const std::vector<float> values = normal_values(100000, 5);
  Histogram histogram;
  histogram.add(values);
  const RangeChoice wide = whole_unsigned_range(histogram, 16);
  EXPECT_EQ(wide.low, static_cast<double>(histogram.lowest()));
  EXPECT_EQ(wide.high, static_cast<double>(histogram.highest()));
  EXPECT_NEAR(static_cast<double>(wide.range.scale) * 65535, wide.high - wide.low, 1e-4);
  EXPECT_NEAR(wide.range.zero_point, -wide.low / static_cast<double>(wide.range.scale), 0.5);
  const double error8 = histogram.cost({wide.low, wide.high}, 256);
  EXPECT_NEAR(wide.sqnr_db, 10 * std::log10(histogram.power() / error8) + 48.2, 0.1);
}

TEST(Histogram, AWeightCountsAsSoManyValues) {
  const std::vector<float> values = normal_values(3000, 6);
  const std::vector<uint32_t> weights = {1, 4, 0};
  Histogram weighted;
  weighted.add(values, weights);
  Histogram repeated;
  for (size_t i = 0; i < values.size(); i++) {
    for (uint32_t n = 0; n < weights[i % 3]; n++) repeated.add(std::span(values).subspan(i, 1));
  }
  EXPECT_EQ(weighted.count(), 3000U);
  EXPECT_EQ(weighted.power(), repeated.power());
  EXPECT_EQ(weighted.cost({-1, 2}, 256), repeated.cost({-1, 2}, 256));
  // The ends stay those of all values.
  EXPECT_EQ(weighted.highest(), *std::ranges::max_element(values));
}

// A channel that hardly matters may be clipped; one that matters may not.
TEST(Histogram, WeightsDecideWhatIsClipped) {
  std::vector<float> values = normal_values(40000, 7);
  for (size_t i = 0; i < values.size(); i += 2) values[i] *= 30;
  Histogram small;
  small.add(values, std::vector<uint32_t>{1, 100000});
  Histogram large;
  large.add(values, std::vector<uint32_t>{100000, 1});
  EXPECT_LT(choose_unsigned_range(small).high, 20);
  EXPECT_GT(choose_unsigned_range(large).high, 60);
}

}  // namespace
}  // namespace hotaru
