#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

namespace hotaru {
namespace {

// The value that IEEE 754 gives to the bits of a binary16, by its formula.
float f16_by_formula(uint16_t bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
  const int exponent = (bits >> 10) & 0x1F;
  const int fraction = bits & 0x3FF;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

TEST(F16, EveryFiniteValueIsExact) {
  for (uint32_t bits = 0; bits < 0x10000; bits++) {
    if ((bits & 0x7C00) == 0x7C00) continue;
    const float got = f16_to_f32(static_cast<uint16_t>(bits));
    EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(f16_by_formula(static_cast<uint16_t>(bits))))
        << bits;
  }
}

TEST(F16, KeepsInfinitiesAndNaNs) {
  EXPECT_EQ(f16_to_f32(0x7C00), std::numeric_limits<float>::infinity());
  EXPECT_EQ(f16_to_f32(0xFC00), -std::numeric_limits<float>::infinity());
  for (const int bits : {0x7C01, 0x7E00, 0x7FFF, 0xFE00})
    EXPECT_TRUE(std::isnan(f16_to_f32(static_cast<uint16_t>(bits))));
}

TEST(Bf16, IsTheUpperHalfOfBinary32) {
  EXPECT_EQ(bf16_to_f32(0x3F80), 1.0F);
  EXPECT_EQ(bf16_to_f32(0xC040), -3.0F);
  EXPECT_EQ(std::bit_cast<uint32_t>(bf16_to_f32(0x0001)), 0x00010000U);
  EXPECT_TRUE(std::isnan(bf16_to_f32(0x7FC1)));
}

TEST(ConvertToF32, ReadsUnalignedBytesOfEveryFloatType) {
  const std::array<double, 3> values = {1.0, -2.5, 1.0 + 0x1p-30};
  std::vector<std::byte> bytes(1 + sizeof(values));
  std::memcpy(bytes.data() + 1, values.data(), sizeof(values));
  std::array<float, 3> out{};
  convert_to_f32(DType::kF64, bytes.data() + 1, 3, out.data());
  EXPECT_EQ(out, (std::array<float, 3>{1.0F, -2.5F, 1.0F}));

  const std::array<uint16_t, 3> halves = {0x3C00, 0xC100, 0x0001};
  std::memcpy(bytes.data() + 1, halves.data(), sizeof(halves));
  convert_to_f32(DType::kF16, bytes.data() + 1, 3, out.data());
  EXPECT_EQ(out, (std::array<float, 3>{1.0F, -2.5F, 0x1p-24F}));
  convert_to_f32(DType::kBf16, bytes.data() + 1, 1, out.data());
  EXPECT_EQ(out[0], std::bit_cast<float>(0x3C000000U));
  convert_to_f32(DType::kF32, nullptr, 0, out.data());
}

TEST(DType, NamesAndSizes) {
  EXPECT_EQ(dtype_name(DType::kBf16), "BF16");
  EXPECT_EQ(dtype_name(DType::kBool), "BOOL");
  EXPECT_EQ(dtype_bytes(DType::kF64), 8U);
  EXPECT_EQ(dtype_bytes(DType::kF16), 2U);
}

}  // namespace
}  // namespace hotaru
