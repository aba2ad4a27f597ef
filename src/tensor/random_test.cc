#include "tensor/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

namespace hotaru {
namespace {

// kat_vectors of Random123 1.x, "philox4x32 10".
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, WordsAreTheBlocksInOrder) {
  Random random(0x1234567890abcdef, 42);
  for (uint32_t block = 0; block < 3; block++) {
    for (const uint32_t word : philox4x32({block, 0, 42, 0}, {0x90abcdef, 0x12345678})) {
      EXPECT_EQ(random.next_u32(), word);
    }
  }
}

TEST(Random, SeekContinuesAnywhere) {
  Random first(7);
  for (int i = 0; i < 13; i++) first.next_u32();
  Random second(7);
  second.seek(first.position());
  for (int i = 0; i < 20; i++) EXPECT_EQ(first.next_u32(), second.next_u32());
}

TEST(Random, SeedsAndStreamsDiffer) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 20; seed++) {
    for (uint64_t stream = 0; stream < 20; stream++) seen.insert(Random(seed, stream).next_u64());
  }
  EXPECT_EQ(seen.size(), 400U);
}

TEST(Random, UniformIsInRangeAndEven) {
  Random random(1);
  double sum = 0;
  for (int i = 0; i < 100000; i++) {
    const float x = random.next_uniform();
    ASSERT_TRUE(x >= 0.0F && x < 1.0F);
    sum += static_cast<double>(x);
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Random, BelowReachesEveryValueEvenly) {
  Random random(2);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; i++) counts[random.next_below(7)]++;
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
  EXPECT_EQ(random.next_below(1), 0U);
  EXPECT_LT(random.next_below(0x80000001U), 0x80000001U);
}

TEST(Random, NormalHasMeanZeroAndVarianceOne) {
  Random random(3);
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < 100000; i++) {
    const double x = static_cast<double>(random.next_normal());
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 100000, 0.0, 0.02);
  EXPECT_NEAR(squares / 100000, 1.0, 0.02);
}

}  // namespace
}  // namespace hotaru
