#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hotaru {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ParseJson, KeepsOrderAndTheLastOfEqualKeys) {
  const auto json = parse_json(R"({"b": 1, "a": 2, "b": 3})", "x");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->dump(), R"({"b":3,"a":2})");
}

TEST(ParseJson, NamesPlaceAndLine) {
  const auto json = parse_json("{\n\"a\": 1,\n\"b\": oops}", "config.json");
  ASSERT_FALSE(json.ok());
  EXPECT_THAT(json.error().message, StartsWith("config.json: line 3: not JSON: "));
  EXPECT_FALSE(parse_json("", "x").ok());
  EXPECT_FALSE(parse_json("{} {}", "x").ok());
  EXPECT_FALSE(parse_json("\"\xff\"", "x").ok());
}

TEST(ParseJson, MessagesAreShortAndPrintable) {
  const auto json = parse_json("[\"" + std::string(10000, '\xe9'), "x");
  ASSERT_FALSE(json.ok());
  EXPECT_LT(json.error().message.size(), 300U);
  for (const char c : json.error().message) EXPECT_TRUE(c >= ' ' && c <= '~');
}

TEST(ParseJson, LimitsDepthOutsideStrings) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64), "x").ok());
  EXPECT_THAT(parse_json(nested(65), "x").error().message, HasSubstr("deeper than 64"));
  EXPECT_FALSE(parse_json(std::string(10'000'000, '['), "x").ok());
  EXPECT_TRUE(parse_json("\"\\\"" + std::string(100, '[') + "\"", "x").ok());
}

TEST(ParseJson, LimitsKeysOfAnObject) {
  std::string text = "{";
  for (int i = 0; i < 20001; i++) text += fmt::format("{}\"{}\":0", i == 0 ? "" : ",", i);
  EXPECT_THAT(parse_json(text + "}", "x").error().message, HasSubstr("more than 20000 keys"));
}

TEST(JsonFields, AbsentAndNullGiveTheFallback) {
  const Json json = Json::parse(R"({"n": null})");
  for (const char* field : {"n", "absent"}) {
    EXPECT_EQ(*json_integer(json, field, 7, 0, 10), 7);
    EXPECT_EQ(*json_number(json, field, 0.5, 0, 1), 0.5);
    EXPECT_EQ(*json_bool(json, field, true), true);
    EXPECT_EQ(*json_string(json, field, "f"), "f");
    EXPECT_THAT(json_integer(json, field, 0, 10).error().message, HasSubstr("missing"));
  }
  EXPECT_EQ(*json_integer(Json::array(), "x", 7, 0, 10), 7);
}

TEST(JsonFields, ValuesInRangePass) {
  const Json json = Json::parse(R"({"i": 64, "f": 64.0, "d": 1e6, "b": false, "s": "text", "neg": -3})");
  EXPECT_EQ(*json_integer(json, "i", 0, 0, 64), 64);
  EXPECT_EQ(*json_integer(json, "f", 0, 0, 64), 64);
  EXPECT_EQ(*json_integer(json, "neg", 0, -3, 64), -3);
  EXPECT_EQ(*json_number(json, "d", 0, 0, 1e9), 1e6);
  EXPECT_EQ(*json_number(json, "i", 0, 0, 1e9), 64.0);
  EXPECT_EQ(*json_bool(json, "b", true), false);
  EXPECT_EQ(*json_string(json, "s", ""), "text");
}

TEST(JsonFields, WrongTypesNameFieldFoundAndWanted) {
  const Json json =
      Json::parse(R"({"s": "abc", "half": 0.5, "big": 18446744073709551615, "huge": 1e300, "list": [1], "long": ")" +
                  std::string(500, 'y') + "\"}");
  EXPECT_EQ(json_integer(json, "s", 32, 65536).error().message, "'s': got \"abc\", want an integer in [32, 65536]");
  for (const char* field : {"half", "big", "huge", "list", "long"}) {
    EXPECT_FALSE(json_integer(json, field, 0, INT64_MIN, INT64_MAX).ok()) << field;
    EXPECT_FALSE(json_bool(json, field, true).ok()) << field;
  }
  EXPECT_FALSE(json_number(json, "huge", 0, 0, 1e9).ok());
  EXPECT_FALSE(json_number(json, "s", 0, 0, 1e9).ok());
  EXPECT_FALSE(json_string(json, "half", "").ok());
  EXPECT_LT(json_integer(json, "long", 0, 0, 1).error().message.size(), 200U);
}

}  // namespace
}  // namespace hotaru
