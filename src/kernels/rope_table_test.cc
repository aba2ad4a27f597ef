#include "kernels/rope_table.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace hotaru {
namespace {

std::vector<double> inverse_frequencies(size_t count, double theta) {
  std::vector<double> frequency;
  for (size_t j = 0; j < count; j++) {
    frequency.push_back(std::pow(theta, -static_cast<double>(j) / static_cast<double>(count)));
  }
  return frequency;
}

// Distance in units of the last place of the nearest float.
double ulps(float found, long double exact) {
  const auto nearest = static_cast<float>(exact);
  const float next = std::nextafter(std::abs(nearest), 2.0F);
  const long double unit = static_cast<long double>(next) - static_cast<long double>(std::abs(nearest));
  return static_cast<double>(std::abs(static_cast<long double>(found) - exact) / unit);
}

TEST(RopeTable, IsCosineAndSineToTheLastPlace) {
  // Every frequency from 1 to 1e-6 and every position is used up to 131072, by strides that meet all quadrants.
  const std::vector<double> frequency = inverse_frequencies(16, 1e6);
  constexpr size_t kPositions = 131073;
  std::vector<float> cosine(kPositions * frequency.size()), sine(cosine.size());
  fill_rope_table({kPositions, frequency, 1.0}, cosine.data(), sine.data());
  double worst = 0;
  for (size_t p = 0; p < kPositions; p += p < 5000 ? 1 : 37) {
    for (size_t j = 0; j < frequency.size(); j++) {
      const long double angle = static_cast<double>(p) * frequency[j];
      worst = std::max(worst, ulps(cosine[p * 16 + j], std::cos(angle)));
      worst = std::max(worst, ulps(sine[p * 16 + j], std::sin(angle)));
    }
  }
  EXPECT_LT(worst, 0.501);
}

TEST(RopeTable, PositionZeroAndFactor) {
  const std::vector<double> frequency = {1.0, 0.25};
  float cosine[4], sine[4];
  fill_rope_table({2, frequency, 0.5}, cosine, sine);
  EXPECT_EQ(cosine[0], 0.5F);
  EXPECT_EQ(sine[0], 0.0F);
  EXPECT_EQ(cosine[2], static_cast<float>(0.5 * std::cos(1.0)));
  EXPECT_EQ(sine[3], static_cast<float>(0.5 * std::sin(0.25)));
}

// The bits, whatever the machine. The frequencies are exact in binary.
TEST(RopeTable, Golden) {
  const std::vector<double> frequency = {1.0, 0.75, 0.3125, 0.01171875, 0.0001220703125};
  constexpr size_t kPositions = 4096;
  std::vector<float> tables[2];
  for (auto& table : tables) table.resize(kPositions * frequency.size());
  fill_rope_table({kPositions, frequency, 1.0}, tables[0].data(), tables[1].data());
  uint64_t hash = 14695981039346656037U;  // FNV-1a of the words
  for (const auto& table : tables) {
    for (const float x : table) hash = (hash ^ std::bit_cast<uint32_t>(x)) * 1099511628211U;
  }
  EXPECT_EQ(hash, 5538341540508715363U);
}

}  // namespace
}  // namespace hotaru
