#include "compiler/calibration_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "text/tokenizer.h"

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TextBundle demo_text() {
  auto text = TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
  EXPECT_TRUE(text.ok()) << text.error().message;
  return *std::move(text);
}

constexpr CalibrationLimits kDemo = {2048, 4096};

int64_t tokens_of(const SegmentBatch& batch) {
  return std::accumulate(batch.lengths.begin(), batch.lengths.end(), int64_t{0});
}

TEST(CalibrationSet, HalfPlainHalfThroughTheTemplate) {
  const TextBundle text = demo_text();
  CalibrationOptions options;
  options.samples = 8;
  options.sequence = 256;
  const auto set = load_calibration(options, kDemo, &text);
  ASSERT_TRUE(set.ok()) << set.error().message;
  EXPECT_EQ(set->batch.lengths.size(), 8U);
  EXPECT_EQ(tokens_of(set->batch), static_cast<int64_t>(set->batch.ids.size()));
  for (const int64_t length : set->batch.lengths) EXPECT_LE(length, 256);
  EXPECT_THAT(set->description, HasSubstr("4 segments of plain text, 4 through the chat template"));
  const auto tokenizer = Tokenizer::create(text.tokenizer_json);
  ASSERT_TRUE(tokenizer.ok());
  const auto start = tokenizer->token_to_id("<|im_start|>");
  EXPECT_EQ(set->batch.ids.front(), start);
  EXPECT_NE(set->batch.ids.back(), start);
}

TEST(CalibrationSet, PlainTextOnlyWithoutATemplate) {
  TextBundle text = demo_text();
  text.chat_template.clear();
  CalibrationOptions options;
  options.sequence = 2048;
  const auto set = load_calibration(options, kDemo, &text);
  ASSERT_TRUE(set.ok()) << set.error().message;
  EXPECT_THAT(set->description, HasSubstr(" 0 through the chat template"));
  EXPECT_EQ(set->batch.lengths.front(), 2048);
}

TEST(CalibrationSet, ATemplateThatRefusesOurTurnsCostsAWarning) {
  TextBundle text = demo_text();
  text.chat_template = "{{ raise_exception('I want a system message') }}";
  const auto set = load_calibration({}, kDemo, &text);
  ASSERT_TRUE(set.ok()) << set.error().message;
  ASSERT_FALSE(set->warnings.empty());
  EXPECT_THAT(set->warnings[0], HasSubstr("I want a system message"));
}

TEST(CalibrationSet, SegmentsFitTheModelsPositions) {
  const TextBundle text = demo_text();
  const auto set = load_calibration({}, {100, 4096}, &text);
  ASSERT_TRUE(set.ok()) << set.error().message;
  for (const int64_t length : set->batch.lengths) EXPECT_LE(length, 100);
}

TEST(CalibrationSet, ATokenizerOfAnotherModelIsRefused) {
  const TextBundle text = demo_text();
  const auto set = load_calibration({}, {2048, 4000}, &text);
  ASSERT_FALSE(set.ok());
  EXPECT_THAT(set.error().message, HasSubstr("ids up to 4095, the model's vocabulary is 4000"));
}

TEST(CalibrationSet, SegmentsGoOnBehindAPrefix) {
  const SegmentBatch rest = without_prefix({{7, 1, 7, 2, 7, 8, 7, 7}, {3, 2, 1, 2}}, {7});
  EXPECT_THAT(rest.ids, ElementsAre(1, 7, 2, 7, 8, 7));
  EXPECT_THAT(rest.lengths, ElementsAre(2, 2, 1, 1));
  EXPECT_THAT(without_prefix({{7, 1, 7}, {2, 1}}, {7, 1}).lengths, ElementsAre(1));
}

TEST(CalibrationSet, RandomIdsDependOnTheSeedOnly) {
  const auto ids = [](uint64_t seed) {
    CalibrationOptions options;
    options.seed = seed;
    return load_calibration(options, {512, 777}, nullptr)->batch.ids;
  };
  EXPECT_EQ(ids(1), ids(1));
  EXPECT_NE(ids(1), ids(2));
  for (const int32_t id : ids(1)) EXPECT_LT(id, 777);
}

}  // namespace
}  // namespace hotaru
