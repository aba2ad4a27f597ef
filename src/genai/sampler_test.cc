#include "genai/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "genai/exponential.h"

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0.0F;
  return params;
}

int32_t sample_once(const SamplingParams& params, const std::vector<float>& logits) {
  return Sampler(params, static_cast<int>(logits.size())).sample(logits);
}

// How often each id is the first token, over many seeds.
std::map<int32_t, int> histogram(SamplingParams params, const std::vector<float>& logits, int draws) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; i++) {
    params.seed = static_cast<uint64_t>(i);
    counts[sample_once(params, logits)]++;
  }
  return counts;
}

// Pearson's statistic against `probability`; an id that cannot occur must not.
double chi_square(const std::map<int32_t, int>& counts, const std::vector<double>& probability, int draws) {
  double sum = 0.0;
  for (size_t id = 0; id < probability.size(); id++) {
    const auto found = counts.find(static_cast<int32_t>(id));
    const double observed = found == counts.end() ? 0.0 : found->second;
    const double expected = probability[id] * draws;
    if (expected == 0.0) {
      EXPECT_EQ(observed, 0.0) << "id " << id;
      continue;
    }
    sum += (observed - expected) * (observed - expected) / expected;
  }
  return sum;
}

std::vector<float> logits_of(const std::vector<double>& probability) {
  std::vector<float> logits;
  for (const double p : probability) logits.push_back(static_cast<float>(std::log(p)) + 3.0F);
  return logits;
}

TEST(Exponential, IsCloseToTheRealOne) {
  for (double x = -1000.0; x <= 0.0; x += 0.37) {
    const double wanted = std::exp2(x);
    EXPECT_NEAR(exp2_portable(x) / wanted, 1.0, 1e-14) << x;
  }
  EXPECT_EQ(exp2_portable(0.0), 1.0);
  EXPECT_EQ(exp2_portable(-3.0), 0.125);
  EXPECT_EQ(exp2_portable(-2000.0), 0.0);
  EXPECT_EQ(exp2_portable(std::nan("")), 0.0);
}

TEST(Sampler, GreedyTakesTheLowestIdAmongEqualLogits) {
  EXPECT_EQ(sample_once(greedy(), {1.0F, 5.0F, -2.0F, 5.0F}), 1);
  EXPECT_EQ(sample_once(greedy(), {0.0F, 0.0F}), 0);
}

TEST(Sampler, NanAndInfinityAreHarmless) {
  EXPECT_EQ(sample_once(greedy(), {kNan, 1.0F, kNan, 2.0F}), 3);
  EXPECT_EQ(sample_once(greedy(), {kNan, kNan}), 0);
  SamplingParams params;
  EXPECT_EQ(sample_once(params, {kNan, -kInfinity, 1.0F}), 2);
  EXPECT_EQ(sample_once(params, {kNan, -kInfinity}), 0);
  EXPECT_EQ(sample_once(params, {0.0F, kInfinity, 0.0F}), 1);
  params.top_p = 0.9F;
  params.repetition_penalty = 0.5F;
  Sampler sampler(params, 3);
  EXPECT_EQ(sampler.sample(std::vector<float>{0.0F, kInfinity, 0.0F}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{0.0F, kInfinity, 0.0F}), 1);
}

TEST(Sampler, DrawsFromTheSoftmax) {
  const std::vector<double> probability = {0.5, 0.2, 0.15, 0.1, 0.05};
  constexpr int kDraws = 20000;
  const auto counts = histogram(SamplingParams{}, logits_of(probability), kDraws);
  EXPECT_LT(chi_square(counts, probability, kDraws), 18.5);  // 4 degrees of freedom, p = 0.001
}

TEST(Sampler, ConsecutiveTokensOfOneReplyAreIndependentDraws) {
  const std::vector<double> probability = {0.4, 0.3, 0.2, 0.1};
  const std::vector<float> logits = logits_of(probability);
  SamplingParams params;
  params.seed = 5;
  Sampler sampler(params, 4);
  std::vector<double> pair_probability;
  for (const double a : probability) {
    for (const double b : probability) pair_probability.push_back(a * b);
  }
  std::map<int32_t, int> pairs;
  constexpr int kPairs = 20000;
  for (int i = 0; i < kPairs; i++) {
    const int32_t first = sampler.sample(logits);
    pairs[first * 4 + sampler.sample(logits)]++;
  }
  EXPECT_LT(chi_square(pairs, pair_probability, kPairs), 37.7);  // 15 degrees of freedom, p = 0.001
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  const std::vector<double> probability = {0.6, 0.3, 0.1};
  constexpr int kDraws = 10000;
  SamplingParams params;
  params.temperature = 0.5F;  // squares the probabilities
  const double sum = 0.36 + 0.09 + 0.01;
  const auto counts = histogram(params, logits_of(probability), kDraws);
  EXPECT_LT(chi_square(counts, {0.36 / sum, 0.09 / sum, 0.01 / sum}, kDraws), 13.8);  // 2 degrees of freedom
  params.temperature = 1e-30F;
  EXPECT_EQ(histogram(params, logits_of(probability), 100).at(0), 100);
  params.temperature = 1e30F;
  const auto flat = histogram(params, logits_of(probability), kDraws);
  EXPECT_LT(chi_square(flat, {1.0 / 3, 1.0 / 3, 1.0 / 3}, kDraws), 13.8);
}

TEST(Sampler, TopKKeepsTheKBestAndPrefersLowIds) {
  SamplingParams params;
  params.top_k = 2;
  constexpr int kDraws = 5000;
  const auto counts = histogram(params, {1.0F, 2.0F, 2.0F, 2.0F}, kDraws);
  EXPECT_LT(chi_square(counts, {0.0, 0.5, 0.5, 0.0}, kDraws), 10.8);
  params.top_k = 1;
  EXPECT_EQ(histogram(params, {1.0F, 2.0F, 2.0F, 2.0F}, 100).at(1), 100);
  params.top_k = 100;
  EXPECT_EQ(histogram(params, {1.0F, 2.0F, 2.0F, 2.0F}, 1000).size(), 4U);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesP) {
  SamplingParams params;
  const std::vector<double> probability = {0.1, 0.5, 0.15, 0.25};
  constexpr int kDraws = 5000;
  params.top_p = 0.74F;
  const auto two = histogram(params, logits_of(probability), kDraws);
  EXPECT_LT(chi_square(two, {0.0, 2.0 / 3, 0.0, 1.0 / 3}, kDraws), 10.8);
  params.top_p = 0.76F;
  const auto three = histogram(params, logits_of(probability), kDraws);
  EXPECT_LT(chi_square(three, {0.0, 0.5 / 0.9, 0.15 / 0.9, 0.25 / 0.9}, kDraws), 13.8);
  params.top_p = 0.0F;
  EXPECT_EQ(histogram(params, logits_of(probability), 100).at(1), 100);
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  SamplingParams params;
  params.top_k = 2;
  params.top_p = 0.6F;  // of {0.5, 0.25} / 0.75 the first has 0.667
  EXPECT_EQ(histogram(params, logits_of({0.25, 0.5, 0.15, 0.1}), 200).at(1), 200);
}

TEST(Sampler, MinPIsAShareOfTheBest) {
  SamplingParams params;
  params.min_p = 0.45F;
  constexpr int kDraws = 5000;
  const auto counts = histogram(params, logits_of({0.2, 0.5, 0.24, 0.06}), kDraws);
  EXPECT_LT(chi_square(counts, {0.0, 0.5 / 0.74, 0.24 / 0.74, 0.0}, kDraws), 10.8);
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplingParams params = greedy();
  params.repetition_penalty = 2.0F;
  Sampler sampler(params, 3);
  const std::vector<float> positive = {4.0F, 3.0F, 1.9F};
  EXPECT_EQ(sampler.sample(positive), 0);
  EXPECT_EQ(sampler.sample(positive), 1);  // 2, 3, 1.9
  EXPECT_EQ(sampler.sample(positive), 0);  // 2, 1.5, 1.9: once or twice is the same
  EXPECT_EQ(sampler.sample(positive), 0);
  const std::vector<float> negative = {-1.0F, -1.5F, -1.9F};  // -2, -3, -1.9
  EXPECT_EQ(sampler.sample(negative), 2);
}

TEST(Sampler, AdditivePenaltiesCountOccurrences) {
  SamplingParams params = greedy();
  params.frequency_penalty = 0.5F;
  params.presence_penalty = 0.25F;
  Sampler sampler(params, 2);
  const std::vector<float> logits = {2.0F, 0.6F};
  std::vector<int32_t> ids;
  for (int i = 0; i < 5; i++) ids.push_back(sampler.sample(logits));
  // Logits of id 0: 2, 1.25, 0.75, 0.25 (id 1 wins: 0.6, then 0.6 - 0.75), then 0.25 again.
  EXPECT_THAT(ids, ElementsAre(0, 0, 0, 1, 0));
}

TEST(Sampler, LogitBiasForbidsAndForces) {
  SamplingParams params = greedy();
  params.logit_bias = {{1, -kInfinity}, {2, 0.5F}};
  EXPECT_EQ(sample_once(params, {1.0F, 9.0F, 0.75F}), 2);
  SamplingParams hot;
  hot.temperature = 100.0F;
  hot.logit_bias = {{0, -kInfinity}};
  EXPECT_EQ(histogram(hot, {50.0F, 1.0F, 1.0F}, 1000).count(0), 0U);
  hot.logit_bias = {{0, -kInfinity}, {1, -kInfinity}, {2, -kInfinity}};
  EXPECT_EQ(sample_once(hot, {1.0F, 1.0F, 1.0F}), 0);
}

// Pins the generator and the order of sums: a change here changes every reply that users have recorded by its seed.
// The ids were also computed by an independent script in another language.
TEST(Sampler, GoldenDraws) {
  SamplingParams params;
  params.seed = 7;
  std::vector<float> logits;
  for (int id = 0; id < 100; id++) logits.push_back(static_cast<float>((id * 37) % 100) * 0.0625F);
  const auto first_eight = [&] {
    Sampler sampler(params, 100);
    std::vector<int32_t> ids;
    for (int i = 0; i < 8; i++) ids.push_back(sampler.sample(logits));
    return ids;
  };
  EXPECT_THAT(first_eight(), ElementsAre(75, 81, 2, 27, 97, 32, 45, 46));
  params.top_p = 0.9F;
  params.temperature = 0.8F;
  EXPECT_THAT(first_eight(), ElementsAre(5, 59, 27, 8, 83, 35, 16, 16));
  params.top_k = 10;
  params.repetition_penalty = 1.5F;
  EXPECT_THAT(first_eight(), ElementsAre(89, 16, 27, 81, 51, 35, 62, 43));
}

TEST(Sampler, SkippingGivesTheStateOfHavingSampled) {
  SamplingParams params;
  params.seed = 11;
  params.frequency_penalty = 0.3F;
  const std::vector<float> logits = {1.0F, 1.1F, 0.9F, 1.05F};
  Sampler whole(params, 4);
  Sampler resumed(params, 4);
  for (int i = 0; i < 10; i++) resumed.skip(whole.sample(logits));
  for (int i = 0; i < 10; i++) EXPECT_EQ(whole.sample(logits), resumed.sample(logits));
}

TEST(SamplingParams, BadValuesAreNamed) {
  const auto message = [](auto change) {
    SamplingParams params;
    change(params);
    const Result<void> checked = check_sampling_params(params, 100);
    return checked ? std::string("accepted") : checked.error().message;
  };
  EXPECT_EQ(message([](SamplingParams&) {}), "accepted");
  EXPECT_THAT(message([](SamplingParams& p) { p.temperature = -1.0F; }), HasSubstr("temperature: got -1"));
  EXPECT_THAT(message([](SamplingParams& p) { p.temperature = kNan; }), HasSubstr("temperature"));
  EXPECT_THAT(message([](SamplingParams& p) { p.temperature = kInfinity; }), HasSubstr("temperature"));
  EXPECT_THAT(message([](SamplingParams& p) { p.top_k = -1; }), HasSubstr("top_k"));
  EXPECT_THAT(message([](SamplingParams& p) { p.top_p = 1.5F; }),
              HasSubstr("top_p: got 1.5, want a number from 0 to 1"));
  EXPECT_THAT(message([](SamplingParams& p) { p.min_p = -0.1F; }), HasSubstr("min_p"));
  EXPECT_THAT(message([](SamplingParams& p) { p.repetition_penalty = 0.0F; }), HasSubstr("repetition_penalty"));
  EXPECT_THAT(message([](SamplingParams& p) { p.frequency_penalty = kInfinity; }), HasSubstr("frequency_penalty"));
  EXPECT_THAT(message([](SamplingParams& p) { p.presence_penalty = kNan; }), HasSubstr("presence_penalty"));
  EXPECT_THAT(message([](SamplingParams& p) { p.logit_bias = {{100, 1.0F}}; }), HasSubstr("id 100"));
  EXPECT_THAT(message([](SamplingParams& p) { p.logit_bias = {{1, kInfinity}}; }), HasSubstr("logit_bias"));
}

}  // namespace
}  // namespace hotaru
