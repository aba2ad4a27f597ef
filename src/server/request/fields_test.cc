#include "server/request/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ParseObject, WantsAnObject) {
  EXPECT_TRUE(Fields::parse_object("{}").ok());
  EXPECT_EQ(Fields::parse_object("").error().message, "request body: empty, want a JSON object");
  EXPECT_EQ(Fields::parse_object("[1]").error().message, "request body: got [1], want a JSON object");
  EXPECT_THAT(Fields::parse_object("{\n\"a\": x}").error().message, StartsWith("request body: line 2: not JSON"));
  EXPECT_THAT(Fields::parse_object(std::string(70, '[')).error().message, HasSubstr("deeper than 64"));
  EXPECT_FALSE(Fields::parse_object("{\"a\": \"\xff\"}").ok());
}

TEST(Fields, ReadsWhatIsThere) {
  const Json json = Json::parse(R"({"b": true, "i": -3, "f": 8192.0, "n": 0.5, "s": "x", "one": "a", "many": ["a", "b"],
                                    "o": {"k": 1}, "l": [1]})");
  Fields fields(json, "");
  EXPECT_EQ(fields.boolean("b"), true);
  EXPECT_EQ(fields.integer("i", -5, 5), -3);
  EXPECT_EQ(fields.integer("f", 0, 10000), 8192);
  EXPECT_EQ(fields.number("n", 0, 1), 0.5);
  EXPECT_EQ(fields.text("s"), "x");
  EXPECT_THAT(*fields.texts("one"), ElementsAre("a"));
  EXPECT_THAT(*fields.texts("many"), ElementsAre("a", "b"));
  ASSERT_NE(fields.object("o"), nullptr);
  ASSERT_NE(fields.array("l"), nullptr);
  EXPECT_NE(fields.any("s"), nullptr);
  EXPECT_EQ(fields.required_text("s"), "x");
  EXPECT_TRUE(fields.ok());
}

TEST(Fields, NullIsAsAbsent) {
  const Json json = Json::parse(R"({"a": null})");
  Fields fields(json, "");
  for (const char* name : {"a", "not there"}) {
    EXPECT_FALSE(fields.boolean(name));
    EXPECT_FALSE(fields.integer(name, 0, 1));
    EXPECT_FALSE(fields.number(name, 0, 1));
    EXPECT_FALSE(fields.text(name));
    EXPECT_FALSE(fields.texts(name));
    EXPECT_EQ(fields.object(name), nullptr);
    EXPECT_EQ(fields.array(name), nullptr);
    EXPECT_EQ(fields.any(name), nullptr);
  }
  EXPECT_TRUE(fields.ok());
  fields.required_text("a");
  EXPECT_EQ(fields.error().message, "'a': missing, want a string");
}

TEST(Fields, NamesTheFieldByItsWholePath) {
  const Json json = Json::parse(R"({"v": "many", "l": ["a", 2], "f": 0.5})");
  const auto message = [&json](auto read) {
    Fields fields(json, "options");
    read(fields);
    EXPECT_FALSE(fields.ok());
    return fields.error().message;
  };
  EXPECT_EQ(message([](Fields& f) { f.integer("v", 0, 9); }), "'options.v': got \"many\", want an integer in [0, 9]");
  EXPECT_EQ(message([](Fields& f) { f.integer("f", 0, 9); }), "'options.f': got 0.5, want an integer in [0, 9]");
  EXPECT_EQ(message([](Fields& f) { f.number("v", 0, 2); }), "'options.v': got \"many\", want a number in [0, 2]");
  EXPECT_EQ(message([](Fields& f) { f.number("f", 1, 2); }), "'options.f': got 0.5, want a number in [1, 2]");
  EXPECT_EQ(message([](Fields& f) { f.number("v", -kInfinity, kInfinity); }),
            "'options.v': got \"many\", want a number");
  EXPECT_EQ(message([](Fields& f) { f.boolean("v"); }), "'options.v': got \"many\", want true or false");
  EXPECT_EQ(message([](Fields& f) { f.text("f"); }), "'options.f': got 0.5, want a string");
  EXPECT_EQ(message([](Fields& f) { f.texts("f"); }), "'options.f': got 0.5, want a string or a list of strings");
  EXPECT_EQ(message([](Fields& f) { f.texts("l"); }), "'options.l[1]': got 2, want a string");
  EXPECT_EQ(message([](Fields& f) { f.object("l"); }), "'options.l': got [\"a\",2], want an object");
  EXPECT_EQ(message([](Fields& f) { f.array("v"); }), "'options.v': got \"many\", want a list");
  EXPECT_EQ(message([](Fields& f) { f.required_text("l"); }), "'options.l': got [\"a\",2], want a string");
}

TEST(Fields, TheFirstErrorSticks) {
  const Json json = Json::parse(R"({"a": 1, "b": 2})");
  Fields fields(json, "");
  fields.text("a");
  fields.text("b");
  fields.integer("b", 5, 6);
  fields.refuse("b", "no");
  EXPECT_EQ(fields.bad_field(), "a");
  EXPECT_THAT(fields.error().message, StartsWith("'a': "));
}

TEST(Fields, OfWhatIsNoObjectIsAnError) {
  const Json json = Json::parse(R"([5])");
  Fields fields(json[0], "messages[0]");
  EXPECT_EQ(fields.error().message, "'messages[0]': got 5, want an object");
  EXPECT_EQ(fields.bad_field(), "messages[0]");
  EXPECT_FALSE(fields.text("role"));
}

TEST(Fields, TakesOverAnErrorFromWithin) {
  const Json json = Json::parse(R"({"options": {"top_k": "many"}})");
  Fields fields(json, "");
  Fields nested(*fields.object("options"), fields.path_of("options"));
  fields.take_error(nested);
  EXPECT_TRUE(fields.ok());
  nested.integer("top_k", 0, 10);
  fields.take_error(nested);
  ASSERT_FALSE(fields.ok());
  EXPECT_EQ(fields.bad_field(), "options.top_k");
}

}  // namespace
}  // namespace hotaru::server
