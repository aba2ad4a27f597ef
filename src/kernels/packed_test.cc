#include "kernels/packed.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace hotaru {
namespace {

TEST(Packed, Int4ComesBack) {
  constexpr size_t kRows = 37;
  constexpr size_t kInputs = 96;
  std::mt19937 random(1);
  std::vector<int8_t> codes(kRows * kInputs);
  std::vector<uint8_t> multipliers(kRows * kInputs / kGroupInputs);
  for (int8_t& code : codes) code = static_cast<int8_t>(static_cast<int>(random() % 16) - 8);
  for (uint8_t& multiplier : multipliers) multiplier = static_cast<uint8_t>(random() % 16);
  std::vector<uint8_t> packed(packed_int4_bytes(kRows, kInputs), 0xEE);
  ASSERT_EQ(packed.size(), 3 * 3 * size_t{272});
  pack_int4(codes.data(), multipliers.data(), kRows, kInputs, packed.data());
  std::vector<int8_t> found_codes(codes.size());
  std::vector<uint8_t> found_multipliers(multipliers.size());
  unpack_int4(packed.data(), kRows, kInputs, found_codes.data(), found_multipliers.data());
  EXPECT_EQ(found_codes, codes);
  EXPECT_EQ(found_multipliers, multipliers);
  // Padding: code 0, multiplier 0.
  EXPECT_EQ(packed[packed_int4_byte(kRows, 5, kInputs)], 0x88);
  EXPECT_EQ(packed[packed_int4_multiplier(kRows, 1, kInputs)], 0);
}

// The order as packed.h words it, one value each.
TEST(Packed, Int4Order) {
  std::vector<int8_t> codes(32 * 64, 0);
  std::vector<uint8_t> multipliers(32 * 2, 1);
  codes[17 * 64 + 32 + 4 * 5 + 2] = 7;  // row 17: block 1, row 1 in it; input 54: group 1, step 5, input 2 of it
  multipliers[17 * 2 + 1] = 9;
  std::vector<uint8_t> packed(packed_int4_bytes(32, 64));
  pack_int4(codes.data(), multipliers.data(), 32, 64, packed.data());
  const size_t group = (1 * 2 + 1) * 272;
  EXPECT_EQ(packed[group + 64 * 2 + 1 * 4 + 2], 0xF8);
  EXPECT_EQ(packed[group + 256 + 1], 9);
}

TEST(Packed, BlocksPackInParts) {
  std::vector<int8_t> codes(40 * 32);
  for (size_t i = 0; i < codes.size(); i++) codes[i] = static_cast<int8_t>(static_cast<int>(i % 16) - 8);
  const std::vector<uint8_t> multipliers(40, 3);
  std::vector<uint8_t> whole(packed_int4_bytes(40, 32)), parts(whole.size());
  pack_int4(codes.data(), multipliers.data(), 40, 32, whole.data());
  pack_int4_blocks({codes.data(), multipliers.data(), 40, 32}, 1, 3, parts.data());
  pack_int4_blocks({codes.data(), multipliers.data(), 40, 32}, 0, 1, parts.data());
  EXPECT_EQ(parts, whole);
}

TEST(Packed, Int8Order) {
  std::vector<int8_t> codes(20 * 8, 0);
  codes[18 * 8 + 6] = -3;
  std::vector<int8_t> packed(packed_int8_bytes(20, 8), 1);
  pack_int8(codes.data(), 20, 8, packed.data());
  EXPECT_EQ(packed[16 * 8 + 64 + 2 * 4 + 2], -3);
  EXPECT_EQ(packed[16 * 8 + 64 + 2 * 4 + 3], 0);
  EXPECT_EQ(packed.back(), 0);
}

}  // namespace
}  // namespace hotaru
