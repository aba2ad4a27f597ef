#include "eval/roofline.h"

#include <gtest/gtest.h>

namespace hotaru {
namespace {

CallProfile call_of(const char* name, double seconds, uint64_t bytes, uint64_t multiply_adds) {
  return {.program = "tbt",
          .call = name,
          .operation = "linear_int4",
          .plays = 4,
          .seconds = seconds,
          .memory_bytes = bytes,
          .activation_bytes = 8,
          .multiply_adds = multiply_adds};
}

// 4 samples; limits of 1 GB/s and 10 G multiply-adds a second.
TEST(Roofline, AddsUpLayersAndFindsTheLimit) {
  BenchPhase phase{.name = "token at depth 0",
                   .tokens = 1,
                   .samples = 4,
                   .ms = 5,
                   .limits = {.read_bytes_per_second = 1e9, .multiply_adds_per_second = 1e10},
                   .calls = {}};
  phase.calls = {call_of("layers.0.qkv", 0.004, 4'000'000, 4'000'000), call_of("layers.11.qkv", 0.008, 4'000'000, 0),
                 call_of("head", 0.004, 4000, 40'000'000)};
  const std::vector<RooflineRow> rows = roofline(phase);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].call, "qkv");
  EXPECT_DOUBLE_EQ(rows[0].ms, 3);
  EXPECT_DOUBLE_EQ(rows[0].share, 0.75);
  EXPECT_DOUBLE_EQ(rows[0].memory_bytes, 2e6);
  EXPECT_DOUBLE_EQ(rows[0].limit_ms, 2);
  EXPECT_TRUE(rows[0].reads_longer);
  EXPECT_DOUBLE_EQ(rows[0].share_of_limit(), 2.0 / 3);
  EXPECT_EQ(rows[1].call, "head");
  EXPECT_DOUBLE_EQ(rows[1].limit_ms, 1);
  EXPECT_FALSE(rows[1].reads_longer);
  EXPECT_DOUBLE_EQ(rows[1].multiply_adds_per_second(), 1e10);

  const RooflineRow total = roofline_total(phase);
  EXPECT_DOUBLE_EQ(total.ms, 5);
  EXPECT_DOUBLE_EQ(total.memory_bytes, 2'001'000);
  EXPECT_DOUBLE_EQ(total.limit_ms, 2.001);
}

TEST(Roofline, WithoutAPeakOnlyReadingCounts) {
  BenchPhase phase{.name = "p",
                   .tokens = 1,
                   .samples = 1,
                   .ms = 1,
                   .limits = {.read_bytes_per_second = 1e9},
                   .calls = {call_of("head", 0.001, 500'000, 1)}};
  EXPECT_DOUBLE_EQ(roofline(phase)[0].share_of_limit(), 0.5);
}

}  // namespace
}  // namespace hotaru
