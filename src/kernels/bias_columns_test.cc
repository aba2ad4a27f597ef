// The whole way of a key's bias: what rope and attention's integers make of q . R_s b, against doubles.
#include "kernels/bias_columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/code_planes.h"
#include "kernels/packed.h"
#include "kernels/rope_table.h"

namespace hotaru {
namespace {

constexpr size_t kHalf = 16, kWidth = 32, kPositions = 300, kPrefix = 3;

struct Angles {
  std::vector<double> frequency;
  std::vector<float> cosine = std::vector<float>(kPositions * kHalf);
  std::vector<float> sine = std::vector<float>(kPositions * kHalf);

  Angles() {
    for (size_t j = 0; j < kHalf; j++) frequency.push_back(std::pow(1e6, -static_cast<double>(j) / kHalf));
    fill_rope_table({kPositions, frequency, 1.0}, cosine.data(), sine.data());
  }
  [[nodiscard]] RotaryAngles all() const { return {kPositions, kHalf, cosine.data(), sine.data()}; }
};

// q . R_s b less what it is on the average over all positions.
std::vector<double> exact_scores(const Angles& angles, const std::vector<float>& q, const std::vector<float>& b) {
  std::vector<double> scores;
  double mean = 0;
  for (size_t s = 0; s < kPositions; s++) {
    double score = 0;
    for (size_t j = 0; j < kHalf; j++) {
      const double angle = angles.frequency[j] * static_cast<double>(s);
      const double low = b[j] * std::cos(angle) - b[j + kHalf] * std::sin(angle);
      const double high = b[j + kHalf] * std::cos(angle) + b[j] * std::sin(angle);
      score += q[j] * low + q[j + kHalf] * high;
    }
    scores.push_back(score);
    mean += score / kPositions;
  }
  for (double& score : scores) score -= mean;
  return scores;
}

std::vector<double> coded_scores(const Angles& angles, const std::vector<float>& q, const std::vector<float>& b) {
  const BiasColumnCodes codes = choose_column_codes(angles.all());
  const BiasColumns columns = make_bias_columns(angles.all(), {codes.scale.data(), codes.offset.data()}, kPrefix);
  const std::vector<float> terms = bias_terms(b, codes);
  std::vector<float> a(kWidth);
  float most = 0;
  for (size_t j = 0; j < kHalf; j++) {
    a[j] = q[j] * terms[j] + q[j + kHalf] * terms[j + kHalf];
    a[j + kHalf] = q[j + kHalf] * terms[kWidth + j] - q[j] * terms[kWidth + j + kHalf];
    most = std::max({most, std::abs(a[j]), std::abs(a[j + kHalf])});
  }
  const float scale = most / kMostSignedCode;
  int8_t high[kWidth], low[kWidth];
  for (size_t e = 0; e < kWidth; e++) store_signed_code({low, high}, e, a[e], 1.0F / scale);
  std::vector<double> scores;
  double mean = 0;
  for (size_t s = 0; s < kPositions; s++) {
    int64_t c = 0;
    for (size_t e = 0; e < kWidth; e++) {
      const size_t slot = s - kPrefix;
      int column = 0;
      if (s < kPrefix) {
        column = columns.prefix[s * kWidth + e];
      } else {
        const size_t page = slot / kPageTokens * 2 * page_side_bytes(kWidth);
        const size_t at = page + key_page_index(slot % kPageTokens, e, kWidth);
        column = 256 * columns.pages[at] + columns.pages[at + page_side_bytes(kWidth)];
      }
      EXPECT_LE(column, 32767);
      c += high[e] * column + low[e] * (column >> 8);
    }
    EXPECT_LT(std::abs(c), int64_t{1} << 31);
    scores.push_back(static_cast<double>(c) * static_cast<double>(scale) * 256);
    mean += scores.back() / kPositions;
  }
  for (double& score : scores) score -= mean;
  return scores;
}

// A bias of 360 on one pair, whatever its speed: scores that reach 1000 to 0.2, at most.
TEST(BiasColumns, HoldTheScoresOfALargeBias) {
  const Angles angles;
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  for (size_t pair = 0; pair < kHalf; pair++) {
    std::vector<float> q(kWidth), b(kWidth);
    for (float& x : q) x = normal(random);
    for (float& x : b) x = normal(random);
    b[pair] = 300;
    b[pair + kHalf] = -200;
    const std::vector<double> wanted = exact_scores(angles, q, b);
    const std::vector<double> found = coded_scores(angles, q, b);
    for (size_t s = 0; s < kPositions; s++) EXPECT_NEAR(found[s], wanted[s], 0.2) << "pair " << pair << " at " << s;
  }
}

TEST(BiasColumns, SlowColumnsHaveSmallSteps) {
  const Angles angles;
  const BiasColumnCodes codes = choose_column_codes(angles.all());
  EXPECT_NEAR(codes.scale[0], 16383, 2);
  EXPECT_GT(codes.scale[kHalf - 1 + kHalf], 1e7F);  // a sine below 0.001
}

TEST(BiasColumns, AConstantColumnIsNothing) {
  std::vector<float> cosine(8, 1.0F), sine(8, 0.0F);
  const BiasColumnCodes codes = choose_column_codes({8, 1, cosine.data(), sine.data()});
  EXPECT_EQ(codes.scale, (std::vector<float>{0, 0}));
  EXPECT_EQ(bias_terms({5, 6}, codes), (std::vector<float>{0, 0, 0, 0}));
}

TEST(BiasColumns, SignedCodesHaveBothPlanesInS8) {
  int8_t high[1], low[1];
  for (int code = -32639; code <= 32639; code++) {
    store_signed_code({low, high}, 0, static_cast<float>(code), 1.0F);
    ASSERT_EQ(256 * high[0] + low[0], code);
    ASSERT_GE(high[0], -127) << code;
  }
  store_signed_code({low, high}, 0, 1e30F, 1.0F);
  EXPECT_EQ(256 * high[0] + low[0], 32639);
}

}  // namespace
}  // namespace hotaru
