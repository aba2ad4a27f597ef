// The divergence that decides about a layer's keys, on keys and queries made for it.
#include "compiler/key_form.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace hotaru {
namespace {

constexpr size_t kWidth = 16, kTokens = 96;
constexpr KeyHeads kHeads{2, 1, kWidth};

struct Rows {
  std::vector<float> query = std::vector<float>(kTokens * 2 * kWidth);
  std::vector<float> key = std::vector<float>(kTokens * kWidth);

  Rows() {
    std::mt19937_64 random(5);
    std::normal_distribution<float> normal;
    for (float& x : query) x = normal(random);
    for (float& x : key) x = normal(random);
  }
  // 200 in one pair, turned by `speed` a token.
  void add_bias(float speed) {
    for (size_t s = 0; s < kTokens; s++) {
      const float angle = speed * static_cast<float>(s);
      key[s * kWidth] += 200 * std::cos(angle);
      key[s * kWidth + 1] += 200 * std::sin(angle);
    }
    for (size_t i = 0; i < query.size(); i += kWidth) query[i] /= 30, query[i + 1] /= 30;
  }
};

KeyStatistics statistics_of(const Rows& rows, const std::vector<float>& key) {
  KeyStatistics keys(kWidth);
  keys.add_queries(rows.query);
  keys.add_keys(key);
  keys.lengths = {64, 32};
  keys.query = rows.query;
  keys.key = key;
  return keys;
}

TEST(KeyForm, OrdinaryKeysHardlyDiverge) {
  const Rows rows;
  const KeyStatistics keys = statistics_of(rows, rows.key);
  const double divergence = attention_divergence(keys, keys.key, {}, kHeads);
  EXPECT_GT(divergence, 0);
  EXPECT_LT(divergence, 0.0005);
}

TEST(KeyForm, ASlowBiasDivergesUntilItIsShifted) {
  Rows rows;
  rows.add_bias(1e-4F);
  const KeyStatistics keys = statistics_of(rows, rows.key);
  const double plain = attention_divergence(keys, keys.key, {}, kHeads);
  const double shifted = attention_divergence(keys, keys.key, keys.midrange(), kHeads);
  EXPECT_GT(plain, 0.01);
  EXPECT_LT(shifted, 0.0005);
  EXPECT_LT(keys.centred_reach(), 0.05F * keys.reach());
}

TEST(KeyForm, ABiasThatRotatesDivergesUntilItIsSplitOff) {
  const Rows without;
  Rows rows;
  rows.add_bias(0.1F);
  const KeyStatistics whole = statistics_of(rows, rows.key);
  const KeyStatistics split = statistics_of(rows, without.key);
  EXPECT_GT(attention_divergence(whole, whole.key, {}, kHeads), 0.01);
  EXPECT_GT(attention_divergence(whole, whole.key, whole.midrange(), kHeads), 0.01);
  EXPECT_LT(attention_divergence(split, whole.key, {}, kHeads), 0.0005);
}

TEST(KeyForm, NoKeysHaveNoDivergence) {
  KeyStatistics keys(kWidth);
  EXPECT_EQ(attention_divergence(keys, keys.key, {}, kHeads), 0);
}

}  // namespace
}  // namespace hotaru
