#include "text/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

namespace hotaru {
namespace {

struct Outcome {
  std::string text;
  std::string matched;
  bool operator==(const Outcome&) const = default;
};

Outcome run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopStrings matcher(stops);
  Outcome outcome;
  for (const std::string& piece : pieces) outcome.text += matcher.push(piece);
  outcome.text += matcher.finish();
  outcome.matched = matcher.matched();
  return outcome;
}

TEST(StopStrings, FindsAcrossPieces) {
  EXPECT_EQ(run({"END"}, {"the E", "N", "D of it"}), (Outcome{"the ", "END"}));
  EXPECT_EQ(run({"END"}, {"the E", "N", "d of it"}), (Outcome{"the ENd of it", ""}));
  EXPECT_EQ(run({"\n\n"}, {"a\n", "b\n", "\nc"}), (Outcome{"a\nb", "\n\n"}));
  EXPECT_EQ(run({}, {"any", "thing"}), (Outcome{"anything", ""}));
  EXPECT_EQ(run({"", "x"}, {"abc"}), (Outcome{"abc", ""}));
  EXPECT_EQ(run({"日本"}, {"日", "本語"}), (Outcome{"", "日本"}));
}

TEST(StopStrings, FirstCompleteWins) {
  EXPECT_EQ(run({"abcd", "bc"}, {"xabcd"}), (Outcome{"xa", "bc"}));
  EXPECT_EQ(run({"cd", "abcd"}, {"xabcd"}), (Outcome{"x", "abcd"}));
  EXPECT_EQ(run({"late", "soon"}, {"soon late"}), (Outcome{"", "soon"}));
}

TEST(StopStrings, EmitsWhatCannotBeAStop) {
  StopStrings matcher({"</s>", "<|end|>"});
  EXPECT_EQ(matcher.push("a < b"), "a < b");
  EXPECT_EQ(matcher.push("c <"), "c ");
  EXPECT_EQ(matcher.push("/"), "");
  EXPECT_EQ(matcher.push("<"), "</");
  EXPECT_EQ(matcher.push("|end|>after"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.matched(), "<|end|>");
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopStrings, PiecesDoNotMatter) {
  std::mt19937 random(3);
  const auto word = [&](size_t longest) {
    std::string text(1 + random() % longest, ' ');
    for (char& symbol : text) symbol = static_cast<char>('a' + random() % 2);
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = 0; i < 1 + random() % 3; ++i) stops.push_back(word(6));
    std::vector<std::string> pieces;
    for (int i = 0; i < 6; ++i) pieces.push_back(word(5));
    std::string whole;
    std::vector<std::string> symbols;
    for (const std::string& piece : pieces) whole += piece;
    for (const char symbol : whole) symbols.emplace_back(1, symbol);
    const Outcome outcome = run(stops, {whole});
    EXPECT_EQ(run(stops, pieces), outcome);
    EXPECT_EQ(run(stops, symbols), outcome);
    EXPECT_TRUE(whole.starts_with(outcome.text + outcome.matched));
    for (const std::string& stop : stops) EXPECT_EQ(outcome.text.find(stop), std::string::npos);
    stopped += outcome.matched.empty() ? 0 : 1;
  }
  EXPECT_GT(stopped, 1000);
  EXPECT_LT(stopped, 2990);
}

}  // namespace
}  // namespace hotaru
