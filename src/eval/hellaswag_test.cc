#include "eval/hellaswag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>

#include "base/file.h"
#include "eval/device_logits.h"
#include "genai/engine.h"

namespace hotaru {
namespace {

TEST(HellaswagItems, SixLines) {
  const auto items = parse_hellaswag("ctx one\n2\na\nb\nc\nd\nctx two\r\n0\r\ne\r\nf\r\ng\r\nh\r\n");
  ASSERT_TRUE(items.ok()) << items.error().message;
  ASSERT_EQ(items->size(), 2U);
  EXPECT_EQ((*items)[0].context, "ctx one");
  EXPECT_EQ((*items)[0].label, 2);
  EXPECT_EQ((*items)[0].endings[3], "d");
  EXPECT_EQ((*items)[1].context, "ctx two");
  EXPECT_EQ((*items)[1].endings[0], "e");
}

// What lm-evaluation-harness' preprocess() gives for the same strings.
TEST(HellaswagItems, JsonLinesAreCleaned) {
  const auto items = parse_hellaswag(
      R"({"activity_label": "Roof", "ctx_a": "A man [header] sits.  [title] Then", "ctx_b": "he Goes", "label": "3",)"
      R"( "endings": [" up [substeps] high. ", "[title] b", "c    c", "d"], "ind": 4})"
      "\n\n"
      R"({"activity_label": "x", "ctx_a": "y", "ctx_b": "", "label": 0, "endings": ["a", "b", "c", "d"]})");
  ASSERT_TRUE(items.ok()) << items.error().message;
  ASSERT_EQ(items->size(), 2U);
  EXPECT_EQ((*items)[0].context, "Roof: A man sits. . Then He goes");
  EXPECT_EQ((*items)[0].label, 3);
  EXPECT_EQ((*items)[0].endings[0], "up high.");
  EXPECT_EQ((*items)[0].endings[1], " b");
  EXPECT_EQ((*items)[0].endings[2], "c  c");
  EXPECT_EQ((*items)[1].context, "x: y");
}

TEST(HellaswagItems, ErrorsNameTheLine) {
  struct Case {
    const char* text;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"", "empty file"},
      {"ctx\n1\na\nb\nc\n", "want a multiple of 6"},
      {"ctx\n4\na\nb\nc\nd\n", "line 2: got label '4'"},
      {"{\"activity_label\": 3}", "line 1: 'activity_label': got 3"},
      {"{}", "line 1: 'activity_label': missing"},
      {"{\"activity_label\": \"\", \"ctx_a\": \"\", \"ctx_b\": \"\", \"label\": 7}", "'label': got 7"},
      {"{\"activity_label\": \"\", \"ctx_a\": \"\", \"ctx_b\": \"\", \"label\": \"\"}", "'label': got \"\""},
      {"{\"activity_label\": \"\", \"ctx_a\": \"\", \"ctx_b\": \"\", \"label\": 1, \"endings\": [\"a\"]}", "'endings'"},
      {"{\"activity_label\": \"\", \"ctx_a\": \"\", \"ctx_b\": \"\", \"label\": 1, \"endings\": [1, 2, 3, 4]}",
       "'endings'"},
      {"{broken", "line 1"},
  };
  for (const Case& one : cases) {
    const auto items = parse_hellaswag(one.text);
    ASSERT_FALSE(items.ok()) << one.text;
    EXPECT_NE(items.error().message.find(one.part), std::string::npos) << items.error().message;
  }
}

class HellaswagScores : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto json = read_text_file(std::string(HOTARU_SOURCE_DIR) + "/models/demo/tokenizer.json");
    ASSERT_TRUE(json.ok()) << json.error().message;
    auto tokenizer = Tokenizer::create(*json);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    tokenizer_ = *tokenizer;
  }

  // Knows one text by heart: its next token has logit 10, all others 0; other texts are uniform.
  BatchSource reciter(const std::string& text) {
    return [this, known = *tokenizer_.encode(text)](std::span<const Sequence> sequences,
                                                    const SequenceSink& sink) -> Result<void> {
      for (size_t sequence = 0; sequence < sequences.size(); sequence++) {
        const std::vector<int32_t>& ids = sequences[sequence].ids;
        longest_ = std::max(longest_, ids.size());
        for (auto i = static_cast<size_t>(sequences[sequence].first); i < ids.size(); i++) {
          std::vector<float> logits(4096, 0.0F);
          const bool knows = i + 1 < known.size() &&
                             std::equal(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(i) + 1, known.begin());
          if (knows) logits[static_cast<size_t>(known[i + 1])] = 10;
          sink(sequence, static_cast<int64_t>(i), logits);
        }
      }
      return {};
    };
  }

  Tokenizer tokenizer_ = {};
  size_t longest_ = 0;
};

TEST_F(HellaswagScores, OnlyTheEndingCounts) {
  const HellaswagItem item = {"The old man went to", {"sea", "the mountain in the far north", "sleep", "market"}, 1};
  const BatchSource source = reciter(item.context + " " + item.endings[1]);
  const HellaswagModel model = {.source = &source, .tokenizer = &tokenizer_, .max_tokens = 100};
  const auto scored = score_items(model, std::span(&item, 1));
  ASSERT_TRUE(scored.ok()) << scored.error().message;
  const EndingScores& scores = scored->front();
  const size_t context = tokenizer_.encode(item.context)->size();
  const size_t whole = tokenizer_.encode(item.context + " " + item.endings[1])->size();
  const double known = 10 - std::log(std::exp(10.0) + 4095);
  EXPECT_NEAR(scores[1], known * static_cast<double>(whole - context), 1e-6);
  EXPECT_LT(scores[0], -5);
  const auto report = measure_hellaswag(model, std::vector(19, item), [](size_t) {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->items, 19);
  EXPECT_THAT(report->scores, testing::Each(testing::ElementsAreArray(scores)));
  EXPECT_EQ(report->acc_norm, 1);
  EXPECT_EQ(report->acc_norm_stderr, 0);
}

TEST_F(HellaswagScores, LongItemsLoseTheirBeginning) {
  HellaswagItem item = {"", {"one", "two", "three", "four"}, 0};
  for (int i = 0; i < 50; i++) item.context += " and so on";
  const BatchSource source = reciter("x");
  const HellaswagModel model = {.source = &source, .tokenizer = &tokenizer_, .max_tokens = 20};
  const auto scored = score_items(model, std::span(&item, 1));
  ASSERT_TRUE(scored.ok()) << scored.error().message;
  const EndingScores& scores = scored->front();
  EXPECT_EQ(longest_, 20U);
  const auto context = static_cast<double>(tokenizer_.encode(item.context)->size());
  const auto whole = static_cast<double>(tokenizer_.encode(item.context + " one")->size());
  EXPECT_NEAR(scores[0], -std::log(4096.0) * (whole - context), 1e-6);
  const HellaswagItem items[] = {item, {"", {"a", "b", "c", "d"}, 0}};
  const auto refused = score_items(model, items, 40);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, testing::StartsWith("item 41: got 0 tokens of context"));
}

// The way of a harness that asks a server for the log-probabilities of context and ending (echo).
TEST(HellaswagScoresOfAHef, AreTheSumsOfReadings) {
  const std::string hef = std::string(HOTARU_SOURCE_DIR) + "/tests/data/hef/demo-v1.hef";
  const auto text = read_text_file(std::string(HOTARU_SOURCE_DIR) + "/tests/data/text/hellaswag.txt");
  ASSERT_TRUE(text.ok());
  auto items = *parse_hellaswag(*text);
  items.resize(3);
  const std::shared_ptr<Device> device = *Device::open(hef, {});
  const BatchSource source = device_batch(device);
  const auto engine = *Engine::create(*LanguageModel::open(hef, {}), {});
  const Tokenizer& tokenizer = *engine->model().tokenizer();
  const auto scored = score_items({&source, &tokenizer, device->info().context_tokens}, items);
  ASSERT_TRUE(scored.ok()) << scored.error().message;
  for (size_t i = 0; i < items.size(); i++) {
    const size_t context = tokenizer.encode(items[i].context)->size();
    for (size_t j = 0; j < 4; j++) {
      ReadingRequest request;
      request.ids = *tokenizer.encode(items[i].context + " " + items[i].endings[j]);
      request.top_logprobs = 1;
      std::promise<Reading> promise;
      request.on_done = [&promise](Result<Reading> reading) { promise.set_value(*std::move(reading)); };
      ASSERT_TRUE(engine->submit_reading(request));
      const Reading reading = promise.get_future().get();
      double sum = 0;
      for (size_t k = context; k < request.ids.size(); k++) sum += *reading.scores[k].logprob;
      EXPECT_EQ(sum, (*scored)[i][j]);  // to the bit
    }
  }
}

}  // namespace
}  // namespace hotaru
