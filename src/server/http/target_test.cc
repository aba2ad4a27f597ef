#include "server/http/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(Target, IsDecoded) {
  const auto target = parse_target("/v1/models/a%2fb+c%C3%A9?x=1%202&y=a+b&&z&x=3#part");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->path, "/v1/models/a/b+c\xC3\xA9");
  EXPECT_THAT(target->query, ElementsAre(Pair("x", "1 2"), Pair("y", "a b"), Pair("z", ""), Pair("x", "3")));
  EXPECT_TRUE(parse_target("/?")->query.empty());
}

TEST(Target, MayBeAWholeAddress) {
  EXPECT_EQ(parse_target("http://localhost:11434/api/tags?a=b")->path, "/api/tags");
  EXPECT_EQ(parse_target("http://localhost")->path, "/");
  EXPECT_EQ(parse_target("*")->path, "*");
}

TEST(Target, RefusesWhatNoPathHolds) {
  for (const char* text : {"/%", "/%4", "/%zz", "/a?b=%", "/%00", "/%0a", "/\x7f", "/%ff", "/?a=%c3", "/\xff"}) {
    EXPECT_FALSE(parse_target(text).ok()) << text;
  }
}

}  // namespace
}  // namespace hotaru::server
