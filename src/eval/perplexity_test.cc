// Segments, perplexity and comparison over sources whose logits are known.
#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "eval/comparison.h"
#include "eval/device_logits.h"
#include "eval/log_probability.h"
#include "genai/fake_device.h"

namespace hotaru {
namespace {

// After every position: id (last + 1) % 4 has logit `lead`, the others 0.
LogitSource counting_source(float lead) {
  return [lead](std::span<const int32_t> ids, const PositionSink& sink) -> Result<void> {
    for (size_t i = 0; i < ids.size(); i++) {
      std::vector<float> logits(4, 0.0F);
      logits[static_cast<size_t>((ids[i] + 1) % 4)] = lead;
      sink(static_cast<int64_t>(i), logits);
    }
    return {};
  };
}

std::vector<int32_t> counting(size_t count) {
  std::vector<int32_t> ids(count);
  for (size_t i = 0; i < count; i++) ids[i] = static_cast<int32_t>(i % 4);
  return ids;
}

const auto kNoProgress = [] {};

TEST(LogProbability, IsStableForLargeLogits) {
  const std::vector<float> logits = {1000.0F, 1000.0F, 0.0F};
  EXPECT_NEAR(log_probability(logits, 1), -std::log(2.0), 1e-12);
  EXPECT_NEAR(log_probability(logits, 2), -1000 - std::log(2.0), 1e-9);
  EXPECT_EQ(most_likely(logits), 0);
}

TEST(Segments, TailIsDropped) {
  const std::vector<int32_t> ids = counting(11);
  const auto segments = Segments::cut(ids, {.segment_tokens = 5});
  ASSERT_TRUE(segments.ok());
  EXPECT_EQ(segments->count(), 2);
  EXPECT_EQ(segments->predictions(), 8);
  EXPECT_EQ(segments->ids(1), (std::vector<int32_t>{1, 2, 3, 0, 1}));
}

TEST(Segments, BosIsOneOfTheTokens) {
  const std::vector<int32_t> ids = counting(11);
  const auto segments = Segments::cut(ids, {.segment_tokens = 5, .bos_id = 9});
  ASSERT_TRUE(segments.ok());
  EXPECT_EQ(segments->count(), 2);
  EXPECT_EQ(segments->ids(1), (std::vector<int32_t>{9, 0, 1, 2, 3}));
}

TEST(Segments, LimitAndTooShortTexts) {
  const std::vector<int32_t> ids = counting(11);
  EXPECT_EQ(Segments::cut(ids, {.segment_tokens = 3, .limit_segments = 2})->count(), 2);
  EXPECT_EQ(Segments::cut(ids, {.segment_tokens = 3, .limit_segments = 9})->count(), 3);
  const auto none = Segments::cut(ids, {.segment_tokens = 12});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().message, "text: got 11 tokens, want at least 12, which is one segment");
  EXPECT_FALSE(Segments::cut(ids, {.segment_tokens = 1}).ok());
}

TEST(Perplexity, OfAKnownDistribution) {
  const std::vector<int32_t> ids = counting(40);
  const auto segments = Segments::cut(ids, {.segment_tokens = 8});
  int progress = 0;
  const auto report = measure_perplexity(counting_source(2.0F), *segments, [&progress] { progress++; });
  ASSERT_TRUE(report.ok()) << report.error().message;
  const double want = std::log(std::exp(2.0) + 3) - 2;
  EXPECT_EQ(progress, 5);
  EXPECT_EQ(report->tokens_scored, 35);
  EXPECT_NEAR(report->mean_nll, want, 1e-12);
  EXPECT_NEAR(report->perplexity, std::exp(want), 1e-12);
  EXPECT_NEAR(bits_per_byte(want, 100, 50), 2 * want / std::log(2.0), 1e-12);
}

TEST(Perplexity, RefusesLogitsThatAreNotFinite) {
  const std::vector<int32_t> ids = counting(16);
  const auto segments = Segments::cut(ids, {.segment_tokens = 8});
  const auto report =
      measure_perplexity(counting_source(std::numeric_limits<float>::quiet_NaN()), *segments, kNoProgress);
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message.find("segment 0"), std::string::npos);
}

TEST(Perplexity, ErrorsOfTheSourceArePassedOn) {
  const std::vector<int32_t> ids = counting(16);
  const auto segments = Segments::cut(ids, {.segment_tokens = 8});
  const LogitSource broken = [](std::span<const int32_t>, const PositionSink&) -> Result<void> {
    return invalid("no");
  };
  EXPECT_EQ(measure_perplexity(broken, *segments, kNoProgress).error().message, "no");
}

TEST(Comparison, OfAModelWithItselfIsPerfect) {
  const std::vector<int32_t> ids = counting(40);
  const auto segments = Segments::cut(ids, {.segment_tokens = 8});
  const auto report = compare_models(counting_source(2), counting_source(2), *segments, kNoProgress);
  ASSERT_TRUE(report.ok());
  EXPECT_NEAR(report->mean_kl, 0, 1e-12);
  EXPECT_EQ(report->top1_agreement, 1);
  EXPECT_EQ(report->logit_sqnr_db, 200);
  EXPECT_EQ(report->tokens_scored, 35);
}

TEST(Comparison, MeasuresKnownDifferences) {
  const std::vector<int32_t> ids = counting(40);
  const auto segments = Segments::cut(ids, {.segment_tokens = 8});
  const auto report = compare_models(counting_source(2), counting_source(1), *segments, kNoProgress);
  ASSERT_TRUE(report.ok());
  const double p_sum = std::exp(2.0) + 3;
  const double q_sum = std::exp(1.0) + 3;
  const double kl = std::exp(2.0) / p_sum * 1 + std::log(q_sum) - std::log(p_sum);
  EXPECT_NEAR(report->mean_kl, kl, 1e-12);
  EXPECT_NEAR(report->kl_p99, kl, 1e-12);
  EXPECT_NEAR(report->logit_sqnr_db, 10 * std::log10(4.0), 1e-9);
  EXPECT_NEAR(report->reference_perplexity, std::exp(std::log(p_sum) - 2), 1e-9);
  EXPECT_NEAR(report->perplexity, std::exp(std::log(q_sum) - 1), 1e-9);
  EXPECT_EQ(compare_models(counting_source(2), counting_source(-1), *segments, kNoProgress)->top1_agreement, 0);
}

TEST(DeviceLogits, ShowsEveryPositionAndGivesTheContextBack) {
  auto device = std::make_shared<FakeDevice>();
  device->set_favourite([](const std::vector<int32_t>& ids) { return static_cast<int32_t>(ids.size() % 64); });
  const LogitSource source = device_logits(device);
  const std::vector<int32_t> ids(200, 7);
  for (int repeat = 0; repeat < 3; repeat++) {
    int64_t shown = 0;
    const auto played = source(ids, [&](int64_t position, std::span<const float> logits) {
      EXPECT_EQ(position, shown++);
      EXPECT_EQ(most_likely(logits), shown % 64);
    });
    ASSERT_TRUE(played.ok()) << played.error().message;
    EXPECT_EQ(shown, 200);
    EXPECT_EQ(device->contexts(), 0);
  }
  const auto sink = [](int64_t, std::span<const float>) {};
  EXPECT_FALSE(source(std::vector<int32_t>(257, 1), sink).ok());
  EXPECT_FALSE(source(std::vector<int32_t>{64}, sink).ok());
  device->set_free_pages(0);
  EXPECT_FALSE(source(ids, sink).ok());
  EXPECT_EQ(device->contexts(), 0);
}

// What sequences begin with in common is played once, up to where logits are wanted, and nobody can tell.
TEST(DeviceBatch, GivesEachSequenceItsOwnLogits) {
  const auto device = std::make_shared<FakeDevice>();
  std::vector<int32_t> context(150);
  std::iota(context.begin(), context.end(), 3);
  for (int32_t& id : context) id %= 64;
  std::vector<Sequence> sequences;
  for (const std::vector<int32_t>& ending : {std::vector<int32_t>{1, 2, 3}, {1, 2, 4, 5}, {9}, {1, 2, 3}}) {
    sequences.push_back({context, 149});
    sequences.back().ids.insert(sequences.back().ids.end(), ending.begin(), ending.end());
  }
  sequences.push_back({{5, 6, 7}, 1});  // nothing in common
  for (const std::vector<int32_t>& prefix : {std::vector<int32_t>{}, {3, 4}}) {
    device->set_prefix(prefix);
    std::vector<std::pair<size_t, int64_t>> shown;
    std::vector<std::vector<float>> rows;
    const int before = device->stepped_tokens();
    const auto played =
        device_batch(device)(sequences, [&](size_t sequence, int64_t position, std::span<const float> logits) {
          shown.emplace_back(sequence, position);
          rows.emplace_back(logits.begin(), logits.end());
        });
    ASSERT_TRUE(played.ok()) << played.error().message;
    EXPECT_LT(device->stepped_tokens() - before, 153 + 5 + 2 + 4 + 3 + 1);
    EXPECT_EQ(device->contexts(), 0);
    size_t next = 0;
    for (size_t i = 0; i < sequences.size(); i++) {
      ASSERT_TRUE(device_logits(device)(sequences[i].ids, [&](int64_t position, std::span<const float> logits) {
                    if (position < sequences[i].first) return;
                    ASSERT_LT(next, shown.size());
                    EXPECT_EQ(shown[next], std::pair(i, position));
                    EXPECT_TRUE(std::ranges::equal(rows[next++], logits)) << i << ", " << position;
                  }).ok());
    }
    EXPECT_EQ(next, shown.size());
  }
}

// The prefix is in the HEF: it is not fed again, and the rest is scored as after the prefix.
TEST(DeviceLogits, ALeadingPrefixIsNotFedTwice) {
  const auto device = std::make_shared<FakeDevice>();
  device->set_prefix({7, 8});
  std::vector<int64_t> positions;
  const PositionSink sink = [&positions](int64_t position, std::span<const float>) { positions.push_back(position); };
  ASSERT_TRUE(device_logits(device)(std::vector<int32_t>{7, 8, 1, 2, 3}, sink).ok());
  EXPECT_EQ(device->stepped_tokens(), 3);
  EXPECT_EQ(positions, (std::vector<int64_t>{2, 3, 4}));
  positions.clear();
  ASSERT_TRUE(device_logits(device)(std::vector<int32_t>{7, 1}, sink).ok());
  ASSERT_TRUE(device_logits(device)(std::vector<int32_t>{7, 8}, sink).ok());
  EXPECT_EQ(device->stepped_tokens(), 7);
  EXPECT_EQ(positions, (std::vector<int64_t>{0, 1, 0, 1}));

  const std::vector<int32_t> ids = counting(8);
  const auto segments = Segments::cut(ids, {.segment_tokens = 6, .bos_id = 7});
  device->set_prefix({7});
  const auto report = measure_perplexity(device_logits(device), *segments, kNoProgress);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->tokens_scored, 4);
}

}  // namespace
}  // namespace hotaru
