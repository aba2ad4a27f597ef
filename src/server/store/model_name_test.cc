#include <gtest/gtest.h>

#include "server/store/model_store.h"

namespace hotaru::server {
namespace {

TEST(ModelName, LatestIsNoTag) {
  for (const char* text : {"demo", "demo:latest", "demo:latest:latest"}) {
    const Result<ModelName> name = ModelName::parse(text);
    ASSERT_TRUE(name.ok()) << text;
    EXPECT_EQ(name->name, "demo") << text;
    EXPECT_EQ(name->adapter, "") << text;
    EXPECT_EQ(name->text(), "demo:latest") << text;
  }
}

TEST(ModelName, TagsAndAdapters) {
  const Result<ModelName> adapter = ModelName::parse("library/Qwen2.5:captioner");
  EXPECT_EQ(adapter->name, "library/Qwen2.5");
  EXPECT_EQ(adapter->adapter, "captioner");
  EXPECT_EQ(adapter->text(), "library/Qwen2.5:captioner");
  const Result<ModelName> both = ModelName::parse("qwen2:1.5b:captioner");
  EXPECT_EQ(both->name, "qwen2:1.5b");
  EXPECT_EQ(both->adapter, "captioner");
  EXPECT_EQ(both->text(), "qwen2:1.5b:captioner");
  EXPECT_EQ(ModelName::parse("demo:latest:a")->text(), "demo:a");
}

TEST(ModelName, NoPathLeavesTheFolder) {
  const std::string long_word(81, 'a');
  const std::vector<std::string> bad = {"",
                                        ":",
                                        "/",
                                        ".",
                                        "..",
                                        "../x",
                                        "a/../b",
                                        "a/..",
                                        "/etc/passwd",
                                        "a//b",
                                        "a/",
                                        ".hidden",
                                        "-x",
                                        "a/.b",
                                        "a:",
                                        "a::b",
                                        "a:..",
                                        "a:b/c",
                                        "a:../b",
                                        "a:b:c:d",
                                        "a b",
                                        "a\nb",
                                        std::string("a\0b", 3),
                                        "a\\b",
                                        "C:\\x",
                                        "~/x",
                                        "%2e%2e/x",
                                        "blobs/sha256-0",
                                        "a/b/c/d/e",
                                        "\xc3\xa4",
                                        long_word,
                                        "a:" + long_word,
                                        "http://host/x"};
  for (const std::string& text : bad) {
    const Result<ModelName> name = ModelName::parse(text);
    ASSERT_FALSE(name.ok()) << text;
    EXPECT_EQ(name.error().kind, ErrorKind::kInvalid) << text;
    EXPECT_LT(name.error().message.size(), 400U);
  }
  EXPECT_TRUE(ModelName::parse(long_word.substr(1)).ok());
  EXPECT_TRUE(ModelName::parse("blobs").ok());
}

}  // namespace
}  // namespace hotaru::server
