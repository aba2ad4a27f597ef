#include "compiler/channel_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hotaru {
namespace {

TEST(ChannelStatistics, AreThoseOfAllTokens) {
  ChannelObserver observer(2);
  observer.add(std::vector<float>{1, -4, 3, 2});
  observer.add(std::vector<float>{-1, 5});
  const ChannelStatistics statistics = observer.statistics();
  EXPECT_EQ(statistics.lowest, (std::vector<double>{-1, -4}));
  EXPECT_EQ(statistics.highest, (std::vector<double>{3, 5}));
  EXPECT_EQ(statistics.mean, (std::vector<double>{1, 1}));
  EXPECT_EQ(statistics.power, (std::vector<double>{11.0 / 3, 15}));
  EXPECT_NEAR(statistics.typical_peak[0], std::sqrt(3.0), 1e-12);
  EXPECT_NEAR(statistics.typical_peak[1], std::sqrt(20.0), 1e-12);
}

// One token of 1000 among 64 runs of ones.
TEST(ChannelStatistics, ASinkHardlyMovesTheTypicalPeak) {
  std::vector<float> tokens(64 * 64, 1);
  tokens[0] = 1000;
  ChannelObserver observer(1);
  observer.add(tokens);
  const ChannelStatistics statistics = observer.statistics();
  EXPECT_EQ(statistics.highest[0], 1000);
  EXPECT_LT(statistics.typical_peak[0], 1.2);
}

TEST(ChannelStatistics, FollowScalesAndPermutations) {
  ChannelStatistics statistics{{-1, -2}, {1, 2}, {0.5, 1}, {3, 4}, {1, 2}};
  statistics.scale(std::vector<double>{2, 10});
  EXPECT_EQ(statistics.lowest, (std::vector<double>{-2, -20}));
  EXPECT_EQ(statistics.power, (std::vector<double>{12, 400}));
  statistics.permute(std::vector<double>{1, 0});
  EXPECT_EQ(statistics.mean, (std::vector<double>{10, 1}));
  EXPECT_EQ(statistics.typical_peak, (std::vector<double>{20, 2}));
}

}  // namespace
}  // namespace hotaru
