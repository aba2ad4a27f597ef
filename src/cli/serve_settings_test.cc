#include "cli/serve_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace hotaru::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string place(std::string_view text) {
  const auto parsed = parse_server_place(text, {});
  return parsed ? parsed->host + " " + std::to_string(parsed->port) : "refused: " + parsed.error().message;
}

TEST(ServerPlace, IsWrittenAsOllamaWritesIt) {
  EXPECT_EQ(place(""), "127.0.0.1 11434");
  EXPECT_EQ(place("0.0.0.0"), "0.0.0.0 11434");
  EXPECT_EQ(place("localhost:80"), "localhost 80");
  EXPECT_EQ(place(":0"), "127.0.0.1 0");
  EXPECT_EQ(place(" http://box:8080/ "), "box 8080");
  EXPECT_EQ(place("[::1]:5"), "::1 5");
  EXPECT_EQ(place("[::1]"), "::1 11434");
  EXPECT_EQ(place("::1"), "::1 11434");
  EXPECT_EQ(place("box:65536"), "refused: got port '65536', want a number in [0, 65535]");
  EXPECT_EQ(place("box:8x"), "refused: got port '8x', want a number in [0, 65535]");
  EXPECT_THAT(place("[::1"), HasSubstr("refused"));
}

TEST(Origins, AreAListWithCommas) {
  EXPECT_THAT(parse_origins(" https://a.example,, app://* "), ElementsAre("https://a.example", "app://*"));
  EXPECT_THAT(parse_origins(""), IsEmpty());
}

TEST(ApiKeys, AreLinesOfAFile) {
  const std::string path = std::filesystem::temp_directory_path() / ("hotaru_keys_" + std::to_string(getpid()));
  const auto with = [&](std::string_view text) {
    std::ofstream(path) << text;
    return read_api_keys(path);
  };
  EXPECT_THAT(*with("# mine\nfirst\r\n\n  second  \n"), ElementsAre("first", "second"));
  EXPECT_THAT(with("# none\n").error().message, HasSubstr("got no key"));
  EXPECT_FALSE(with("").ok());
  std::filesystem::remove(path);
  EXPECT_THAT(read_api_keys(path).error().message, HasSubstr(path));
}

}  // namespace
}  // namespace hotaru::cli
