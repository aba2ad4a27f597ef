#include "compiler/quantise_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "tensor/random.h"

namespace hotaru {
namespace {

struct Storage {
  explicit Storage(size_t inputs) : codes(inputs), multipliers(inputs / 32) {}
  Int4Row row() { return {codes, multipliers, 0}; }
  std::vector<int8_t> codes;
  std::vector<uint8_t> multipliers;
};

std::vector<float> normal_weights(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> weights(count);
  for (float& w : weights) w = 0.02F * random.next_normal();
  return weights;
}

double searched_error(const std::vector<float>& weights, int group = 32) {
  Storage storage(weights.size());
  Int4Row row = storage.row();
  quantise_row_int4({weights, {}, group}, row);
  return squared_error(weights, row);
}

double plain_error(const std::vector<float>& weights) {
  Storage storage(weights.size());
  Int4Row row = storage.row();
  quantise_row_int4_plain({weights, {}, 32}, row);
  return squared_error(weights, row);
}

TEST(QuantiseRow, NeverWorseThanPlainRoundingAndThirtyPercentBetterOnGaussians) {
  double searched = 0;
  double plain = 0;
  double power = 0;
  for (uint64_t seed = 0; seed < 200; seed++) {
    std::vector<float> weights = normal_weights(256, seed);
    if (seed % 4 == 1) weights[seed] *= 30;  // an outlier
    if (seed % 4 == 2) std::fill(weights.begin() + 32, weights.begin() + 96, 0.0F);
    const double error = searched_error(weights);
    EXPECT_LE(error, plain_error(weights) * (1 + 1e-6)) << "seed " << seed;
    if (seed % 4 != 0) continue;
    searched += error;
    plain += plain_error(weights);
    power = std::inner_product(weights.begin(), weights.end(), weights.begin(), power);
  }
  EXPECT_LT(searched, 0.72 * plain);
  EXPECT_GT(10 * std::log10(power / searched), 21.0);  // SQNR in dB
}

TEST(QuantiseRow, TheExtremeSitsOnTheLongSideOfTheCodes) {
  for (const float sign : {1.0F, -1.0F}) {
    std::vector<float> weights = normal_weights(32, 7);
    weights[5] = sign * 0.2F;
    Storage storage(32);
    Int4Row row = storage.row();
    quantise_row_int4({weights, {}, 32}, row);
    EXPECT_EQ(row.codes[5], -8);
    EXPECT_EQ(std::signbit(row.scale), sign > 0);
  }
}

TEST(QuantiseRow, ExactWhenTheRowIsOnTheGrid) {
  std::vector<float> weights(64);
  for (size_t k = 0; k < 64; k++)
    weights[k] = 0.01F * static_cast<float>(k < 32 ? 15 : 6) * static_cast<float>(k % 16) - 0.0F;
  for (size_t k = 0; k < 64; k++) weights[k] -= 0.01F * static_cast<float>(k < 32 ? 15 : 6) * 8;
  EXPECT_LT(searched_error(weights), 1e-9);
}

TEST(QuantiseRow, ZeroAndTinyRowsGetScaleZero) {
  for (const float value : {0.0F, 1e-38F}) {
    Storage storage(64);
    Int4Row row = storage.row();
    quantise_row_int4({std::vector<float>(64, value), {}, 32}, row);
    EXPECT_EQ(row.scale, 0.0F);
    EXPECT_EQ(storage.codes, std::vector<int8_t>(64, 0));
    EXPECT_EQ(storage.multipliers, std::vector<uint8_t>(2, 0));
  }
}

TEST(QuantiseRow, WiderGroupsShareTheirMultiplierAndCostAccuracy) {
  const std::vector<float> weights = normal_weights(1024, 3);
  Storage storage(1024);
  Int4Row row = storage.row();
  quantise_row_int4({weights, {}, 128}, row);
  for (size_t g = 0; g < 32; g++) EXPECT_EQ(row.multipliers[g], row.multipliers[g / 4 * 4]) << g;
  EXPECT_LT(searched_error(weights, 32), searched_error(weights, 64));
  EXPECT_LT(searched_error(weights, 64), searched_error(weights, 128));
}

TEST(QuantiseRow, ImportanceMovesTheErrorToChannelsThatMatterLess) {
  const std::vector<float> weights = normal_weights(256, 11);
  std::vector<float> importance(256, 1.0F);
  for (size_t k = 0; k < 256; k += 8) importance[k] = 100.0F;
  const auto weighted_error = [&](std::span<const float> used) {
    Storage storage(256);
    Int4Row row = storage.row();
    quantise_row_int4({weights, used, 32}, row);
    double sum = 0;
    for (size_t k = 0; k < 256; k++) {
      const double e =
          static_cast<double>(weights[k]) - static_cast<double>(row.scale) * row.multipliers[k / 32] * row.codes[k];
      sum += static_cast<double>(importance[k]) * e * e;
    }
    return sum;
  };
  EXPECT_LT(weighted_error(importance), 0.8 * weighted_error({}));
}

TEST(QuantiseRow, WeightsWhoseSquaresOverflowGiveCodesToo) {
  std::vector<float> weights = normal_weights(64, 3);
  weights[5] = 1e38F;
  weights[6] = 0.71e38F;  // on no code when weights[5] is on one
  Storage storage(64);
  Int4Row row = storage.row();
  quantise_row_int4({weights, {}, 32}, row);
  EXPECT_TRUE(std::isfinite(row.scale));
}

TEST(QuantiseRow, Int8PutsTheLargestOn127) {
  std::vector<float> weights = normal_weights(64, 5);
  weights[9] = -0.5F;
  std::vector<int8_t> codes(64);
  const float scale = quantise_row_int8(weights, codes);
  EXPECT_EQ(codes[9], -127);
  for (size_t k = 0; k < 64; k++) EXPECT_NEAR(weights[k], scale * static_cast<float>(codes[k]), 0.5001F * scale);
  EXPECT_EQ(quantise_row_int8(std::vector<float>(64, 0.0F), codes), 0.0F);
  EXPECT_EQ(codes, std::vector<int8_t>(64, 0));
}

}  // namespace
}  // namespace hotaru
