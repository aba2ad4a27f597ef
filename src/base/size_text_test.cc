#include "base/size_text.h"

#include <gtest/gtest.h>

namespace hotaru {
namespace {

TEST(ParseSize, KnowsUnits) {
  EXPECT_EQ(*parse_size("0"), 0U);
  EXPECT_EQ(*parse_size("4096"), 4096U);
  EXPECT_EQ(*parse_size("17B"), 17U);
  EXPECT_EQ(*parse_size("1.5GiB"), 1610612736U);
  EXPECT_EQ(*parse_size("1.5 gib"), 1610612736U);
  EXPECT_EQ(*parse_size("512MB"), 512'000'000U);
  EXPECT_EQ(*parse_size("4G"), uint64_t{4} << 30);
  EXPECT_EQ(*parse_size("0.1KiB"), 102U);
}

TEST(ParseSize, RefusesTheRest) {
  for (const char* text : {"", " ", "GiB", "-1", "1e9", "1.2.3", "1 XB", "1GiB!", "1 G B", "nan", "9223372036854775808",
                           "8388608TiB", "0x10"}) {
    EXPECT_FALSE(parse_size(text).ok()) << text;
  }
}

TEST(SizeText, ThreeDigits) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(1024), "1.00 KiB");
  EXPECT_EQ(size_text(1610612736), "1.50 GiB");
  EXPECT_EQ(size_text(5'300'000), "5.05 MiB");
  EXPECT_EQ(size_text((uint64_t{1} << 20) - 1), "1.00 MiB");
  EXPECT_EQ(size_text(UINT64_MAX), "16.0 EiB");
}

TEST(ParseDuration, KnowsUnits) {
  EXPECT_EQ(parse_duration("30s")->count(), 30'000);
  EXPECT_EQ(parse_duration("5m")->count(), 300'000);
  EXPECT_EQ(parse_duration("1h30m")->count(), 5'400'000);
  EXPECT_EQ(parse_duration("250ms")->count(), 250);
  EXPECT_EQ(parse_duration("1.5")->count(), 1500);
  for (const char* text : {"", "s", "-5m", "5x", "1h30", "5m!", "1e3s", "99999999999999999h"}) {
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  }
}

}  // namespace
}  // namespace hotaru
