// What goes beyond generator_test.cc: shifts, masks, log-probabilities, pieces, resuming.
#include "genai/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "genai/fake_device.h"
#include "genai/generator.h"
#include "genai/logprobs.h"
#include "genai/scheduler.h"
#include "text/text_bundle.h"

namespace hotaru {
namespace {

using testing::ElementsAre;

const std::vector<int32_t> kPrompt = {5, 9, 2, 33, 17};

GenerationOptions some_tokens(int count) {
  GenerationOptions options;
  options.max_tokens = count;
  options.sampling.seed = 3;
  return options;
}

void play(Generation& generation) {
  Scheduler scheduler(generation.context().device(), {});
  scheduler.add(generation);
  while (!generation.has_ended()) scheduler.step();
}

// A fresh context with these ids gives the next token, and so on: no reply ever has more than one token.
std::vector<int32_t> by_single_tokens(std::vector<int32_t> ids, const GenerationOptions& options, int capacity,
                                      int keep) {
  std::vector<int32_t> generated;
  Sampler sampler(options.sampling, 64);
  while (std::cmp_less(generated.size(), options.max_tokens)) {
    if (std::cmp_greater(ids.size(), capacity)) {
      const auto dropped = (std::ssize(ids) - keep) / 2;
      ids.erase(ids.begin() + keep, ids.begin() + keep + dropped);
    }
    FakeDevice device(64, capacity);
    std::vector<float> logits;
    device.set_on_logits([&](std::span<const float> row) { logits.assign(row.begin(), row.end()); });
    Context context = *Context::create(device);
    context.append(ids);
    EXPECT_TRUE(generate(context, some_tokens(1), nullptr, nullptr));
    generated.push_back(sampler.sample(logits));
    ids.push_back(generated.back());
  }
  return generated;
}

TEST(Generation, AShiftedContextIsAFreshOneWithTheKeptIds) {
  GenerationOptions options = some_tokens(150);
  options.when_full = WhenFull::kShift;
  for (const int keep : {0, 3, 60, -1}) {
    FakeDevice device(64, 70);
    Context context = *Context::create(device);
    context.append(kPrompt);
    options.keep_tokens = keep;
    const Result<Reply> reply = generate(context, options, nullptr, nullptr);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, ReplyStatus::kMaxTokens);
    EXPECT_GE(reply->shifts, 2);
    EXPECT_EQ(reply->token_ids, by_single_tokens(kPrompt, options, 70, keep < 0 ? 70 / 4 : keep)) << keep;
    if (keep == 3) {
      EXPECT_THAT(std::vector(context.ids().begin(), context.ids().begin() + 3), ElementsAre(5, 9, 2));
    }
  }
}

TEST(Generation, APromptTooLongIsShiftedWhenTheCallerSaysSo) {
  FakeDevice device(64, 70);
  std::vector<int32_t> prompt(200);
  std::iota(prompt.begin(), prompt.end(), 0);
  for (int32_t& id : prompt) id %= 64;
  Context context = *Context::create(device);
  context.append(prompt);
  GenerationOptions options = some_tokens(3);
  options.when_full = WhenFull::kShift;
  options.keep_tokens = 10;
  const Reply reply = *generate(context, options, nullptr, nullptr);
  EXPECT_EQ(reply.shifts, 2);  // 200, 105, 58
  EXPECT_EQ(context.ids().size(), 58U + 3U);
  EXPECT_EQ(context.ids()[9], 9);
  EXPECT_EQ(context.ids()[57], 199 % 64);
}

TEST(Generation, NothingToForgetStopsAShiftingReply) {
  FakeDevice device(64, 70);
  Context context = *Context::create(device);
  context.append(kPrompt);
  GenerationOptions options = some_tokens(100);
  options.when_full = WhenFull::kShift;
  options.keep_tokens = 70;
  const Reply reply = *generate(context, options, nullptr, nullptr);
  EXPECT_EQ(reply.status, ReplyStatus::kContextFull);
  EXPECT_EQ(reply.shifts, 0);
}

// Allows the multiples of `step` that are greater than the last id; wraps around.
class Rising : public TokenMask {
 public:
  explicit Rising(int step) : step_(step) {}
  void begin(std::span<const int32_t> generated) override {
    const int last = generated.empty() ? -1 : generated.back();
    word_ = 0;
    for (int id = 0; id < 64; id += step_) word_ |= id > last ? uint64_t{1} << id : 0;
    seen_.assign(generated.begin(), generated.end());
  }
  Result<std::span<const uint64_t>> allowed() override { return std::span<const uint64_t>(&word_, 1); }
  [[nodiscard]] const std::vector<int32_t>& seen() const { return seen_; }

 private:
  int step_;
  uint64_t word_ = 0;
  std::vector<int32_t> seen_;
};

TEST(Generation, ATokenMaskHoldsForEveryTokenAndEndsTheReply) {
  for (const float temperature : {0.0F, 1.0F}) {
    FakeDevice device;
    Context context = *Context::create(device);
    context.append(kPrompt);
    GenerationOptions options = some_tokens(50);
    options.sampling.temperature = temperature;
    Rising* mask = nullptr;
    options.make_token_mask = [&mask] {
      auto made = std::make_unique<Rising>(7);
      mask = made.get();
      return made;
    };
    Generation generation = *Generation::begin(context, options, {});
    play(generation);
    const std::vector<int32_t>& ids = generation.reply().token_ids;
    EXPECT_EQ(generation.reply().status, ReplyStatus::kLogicalEnd);  // 63 is the last multiple
    ASSERT_FALSE(ids.empty());
    EXPECT_EQ(ids.back(), 63);
    EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
    for (const int32_t id : ids) EXPECT_EQ(id % 7, 0);
    EXPECT_EQ(mask->seen(), ids);
  }
}

TEST(Generation, AnEmptyMaskEndsTheReplyAtOnce) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(kPrompt);
  GenerationOptions options = some_tokens(50);
  options.make_token_mask = [] { return std::make_unique<Rising>(100); };  // id 0, then nothing
  Generation generation = *Generation::begin(context, options, {});
  play(generation);
  EXPECT_THAT(generation.reply().token_ids, ElementsAre(0));
  EXPECT_EQ(generation.reply().status, ReplyStatus::kLogicalEnd);
}

class LowerHalf : public TokenMask {
  void begin(std::span<const int32_t> generated) override { static_cast<void>(generated); }
  Result<std::span<const uint64_t>> allowed() override { return std::span<const uint64_t>(&word_, 1); }
  uint64_t word_ = 0xFFFFFFFF;
};

TEST(Generation, AMaskLeavesTheOtherTokensAsLikelyAsTheyWere) {
  // Forbidding by a mask is forbidding by a bias of -infinity.
  FakeDevice device;
  const auto ids_of = [&](const GenerationOptions& options) {
    Context context = *Context::create(device);
    context.append(kPrompt);
    return generate(context, options, nullptr, nullptr)->token_ids;
  };
  GenerationOptions masked = some_tokens(40);
  masked.make_token_mask = [] { return std::make_unique<LowerHalf>(); };
  GenerationOptions biased = some_tokens(40);
  for (int32_t id = 32; id < 64; id++) biased.sampling.logit_bias.push_back({id, -INFINITY});
  EXPECT_EQ(ids_of(masked), ids_of(biased));
}

TEST(Generation, LogprobsAreThoseOfTheLogits) {
  FakeDevice device;
  std::vector<std::vector<float>> logits;
  device.set_on_logits([&](std::span<const float> row) { logits.emplace_back(row.begin(), row.end()); });
  Context context = *Context::create(device);
  context.append(kPrompt);
  GenerationOptions options = some_tokens(10);
  options.sampling.temperature = 0.5F;  // log-probabilities do not know of it, nor of the bias
  options.sampling.logit_bias = {{1, -INFINITY}};
  std::vector<ReplyPiece> pieces;
  Generation::Outlets outlets;
  outlets.top_logprobs = 3;
  outlets.on_piece = [&](ReplyPiece&& piece) {
    pieces.push_back(std::move(piece));
    return true;
  };
  Generation generation = *Generation::begin(context, options, std::move(outlets));
  play(generation);
  ASSERT_EQ(pieces.size(), 10U);
  for (size_t i = 0; i < pieces.size(); i++) {
    double sum = 0.0;
    for (const float logit : logits[i]) sum += std::exp(static_cast<double>(logit));
    const auto expected = [&](int32_t id) {
      return static_cast<double>(logits[i][static_cast<size_t>(id)]) - std::log(sum);
    };
    EXPECT_NEAR(static_cast<double>(pieces[i].logprob), expected(pieces[i].id), 1e-6);
    ASSERT_EQ(pieces[i].top.size(), 3U);
    const auto best = std::max_element(logits[i].begin(), logits[i].end()) - logits[i].begin();
    EXPECT_EQ(pieces[i].top[0].id, best);
    for (size_t t = 0; t < 3; t++) {
      EXPECT_NEAR(static_cast<double>(pieces[i].top[t].logprob), expected(pieces[i].top[t].id), 1e-6);
      if (t > 0) {
        EXPECT_LE(pieces[i].top[t].logprob, pieces[i].top[t - 1].logprob);
      }
    }
  }
}

const Tokenizer& demo_tokenizer() {
  static const Tokenizer tokenizer = [] {
    const auto bundle = TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
    return *Tokenizer::create(bundle->tokenizer_json);
  }();
  return tokenizer;
}

// Wherever a reply is cut, what it says in two parts is what it says in one, but for a character cut in two, which
// is U+FFFD and then itself.
TEST(Generation, ResumedTextGoesOnWhereItWasCut) {
  const std::string said = "caf\xC3\xA9 \xF0\x9F\x8C\x9F upon a timely end";
  const std::vector<int32_t> script = *demo_tokenizer().encode(said);
  const std::vector<std::string> stop = {"upon a time there", "end"};
  const std::string whole = said.substr(0, said.size() - 3);
  for (size_t cut = 0; cut <= script.size(); cut++) {
    ReplyText first = *ReplyText::create(demo_tokenizer(), {.continues = true}, stop);
    std::string text;
    for (size_t i = 0; i < cut; i++) text += *first.push(script[i]);
    text += *first.finish();
    ReplyText second = *ReplyText::resume(demo_tokenizer(), {.continues = true}, stop, std::span(script).first(cut));
    for (size_t i = cut; i < script.size(); i++) text += *second.push(script[i]);
    text += *second.finish();
    const size_t unfinished = text.find("\xEF\xBF\xBD");
    if (unfinished != std::string::npos) text.erase(unfinished, 3);
    EXPECT_EQ(text, whole) << cut;
  }
}

TEST(Logprobs, NanAndInfinityAreHarmless) {
  ReplyPiece piece;
  piece.id = 1;
  add_logprobs(std::vector<float>{NAN, 1.0F, -INFINITY, 1.0F}, 4, piece);
  EXPECT_NEAR(static_cast<double>(piece.logprob), -std::log(2.0), 1e-7);
  ASSERT_EQ(piece.top.size(), 4U);
  EXPECT_EQ(piece.top[0].id, 1);
  EXPECT_EQ(piece.top[1].id, 3);
  EXPECT_EQ(piece.top[2].logprob, -INFINITY);
  ReplyPiece certain;
  add_logprobs(std::vector<float>{INFINITY, 1.0F}, 2, certain);
  EXPECT_EQ(certain.logprob, 0.0F);
  EXPECT_EQ(certain.top[1].logprob, -INFINITY);
}

TEST(Logprobs, SumOverALargeVocabularyIsRight) {
  Random random(4);
  std::vector<float> logits(151936);
  double sum = 0.0;
  for (float& logit : logits) {
    logit = random.next_normal() * 4.0F;
    sum += std::exp(static_cast<double>(logit));
  }
  EXPECT_NEAR(log_sum_exp(logits), std::log(sum), 1e-12);
}

}  // namespace
}  // namespace hotaru
