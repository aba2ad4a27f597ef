#include "genai/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "genai/fake_device.h"
#include "text/text_bundle.h"

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

const std::vector<int32_t> kShortPrompt = {5, 9, 2, 33, 17};
constexpr int32_t kEndOfTurn = 4095;  // of the demo model's tokenizer

GenerationOptions some_tokens(int count, uint64_t seed = 3) {
  GenerationOptions options;
  options.max_tokens = count;
  options.sampling.seed = seed;
  options.hash_logits = true;
  return options;
}

struct Played {
  Reply reply;
  std::vector<int32_t> ids;  // of the context afterwards
};

Played play(const std::vector<int32_t>& prompt, const GenerationOptions& options) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(prompt);
  Result<Reply> reply = generate(context, options, nullptr, nullptr);
  EXPECT_TRUE(reply);
  return {*std::move(reply), context.ids()};
}

const Tokenizer& demo_tokenizer() {
  static const Tokenizer tokenizer = [] {
    const auto bundle = TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
    return *Tokenizer::create(bundle->tokenizer_json);
  }();
  return tokenizer;
}

// Makes the model say `script` after a one-token prompt, then the end of turn for ever.
struct Scripted {
  explicit Scripted(std::vector<int32_t> ids)
      : script(std::move(ids)), device(4096), context(*Context::create(device)) {
    device.set_favourite([this](const std::vector<int32_t>& so_far) {
      const size_t said = so_far.size() - 1;
      return said < script.size() ? script[said] : kEndOfTurn;
    });
    context.append(std::vector<int32_t>{1});
    options.stop_ids = {kEndOfTurn};
    options.sampling.temperature = 0.0F;
  }
  Reply say(const std::vector<std::string>& stop = {}) {
    ReplyText text = *ReplyText::create(demo_tokenizer(), {.continues = true}, stop);
    return *generate(context, options, &text, [this](std::string_view piece) {
      pieces.emplace_back(piece);
      return pieces.size() < wanted_pieces;
    });
  }

  std::vector<int32_t> script;
  FakeDevice device;
  Context context;
  GenerationOptions options;
  std::vector<std::string> pieces;
  size_t wanted_pieces = SIZE_MAX;
};

TEST(Generator, ChunksDoNotChangeTheReply) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < 150; i++) prompt.push_back(i * 11 % 64);
  const Played whole = play(prompt, some_tokens(20));
  EXPECT_EQ(whole.reply.token_ids.size(), 20U);
  for (int chunk = 1; chunk <= 128; chunk++) {
    GenerationOptions options = some_tokens(20);
    options.prefill_chunk = chunk;
    const Played chunked = play(prompt, options);
    EXPECT_EQ(chunked.reply.token_ids, whole.reply.token_ids) << chunk;
    EXPECT_EQ(chunked.reply.logits_sha256, whole.reply.logits_sha256) << chunk;
  }
}

TEST(Generator, TheHashIsOverEveryStepThatWasSampled) {
  FakeDevice device;
  std::vector<std::vector<float>> logits;
  device.set_on_logits([&](std::span<const float> row) { logits.emplace_back(row.begin(), row.end()); });
  Context context = *Context::create(device);
  context.append(kShortPrompt);
  const Reply reply = *generate(context, some_tokens(3), nullptr, nullptr);
  ASSERT_EQ(logits.size(), 3U);
  Sha256 hash;
  for (const std::vector<float>& row : logits) hash.update(std::as_bytes(std::span(row)));
  EXPECT_EQ(reply.logits_sha256, hash.finish_hex());
}

TEST(Generator, MaxTokensCutsAndTheRecoverySequenceFollowsUncounted) {
  GenerationOptions options = some_tokens(4);
  options.recovery_ids = {60, 61};
  const Played played = play(kShortPrompt, options);
  EXPECT_EQ(played.reply.status, ReplyStatus::kMaxTokens);
  EXPECT_EQ(played.reply.token_ids.size(), 4U);
  std::vector<int32_t> wanted = kShortPrompt;
  wanted.insert(wanted.end(), played.reply.token_ids.begin(), played.reply.token_ids.end());
  wanted.insert(wanted.end(), {60, 61});
  EXPECT_EQ(played.ids, wanted);
}

TEST(Generator, ZeroTokensOnlyStoresThePrompt) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(kShortPrompt);
  GenerationOptions options = some_tokens(0);
  options.recovery_ids = {60};
  const Reply reply = *generate(context, options, nullptr, nullptr);
  EXPECT_EQ(reply.status, ReplyStatus::kMaxTokens);
  EXPECT_TRUE(reply.token_ids.empty());
  EXPECT_EQ(context.stored_tokens(), 5);
  EXPECT_EQ(context.ids(), kShortPrompt);
  // Going on from here is the same as asking at once.
  const Reply later = *generate(context, some_tokens(6), nullptr, nullptr);
  EXPECT_EQ(later.token_ids, play(kShortPrompt, some_tokens(6)).reply.token_ids);
}

TEST(Generator, TheLastTokenIsCarriedIntoTheNextPrompt) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(kShortPrompt);
  const Reply first = *generate(context, some_tokens(4), nullptr, nullptr);
  EXPECT_EQ(context.pending_tokens(), 1);
  context.append(std::vector<int32_t>{8, 7});
  const Reply second = *generate(context, some_tokens(4), nullptr, nullptr);
  EXPECT_EQ(second.prefilled_tokens, 3);

  std::vector<int32_t> whole = kShortPrompt;
  whole.insert(whole.end(), first.token_ids.begin(), first.token_ids.end());
  whole.insert(whole.end(), {8, 7});
  const Played fresh = play(whole, some_tokens(4));
  EXPECT_EQ(second.token_ids, fresh.reply.token_ids);
  EXPECT_EQ(second.logits_sha256, fresh.reply.logits_sha256);
}

// Whatever the context held before, the reply is that of a fresh one.
TEST(Generator, PrefixReuseIsExact) {
  FakeDevice device;
  Context context = *Context::create(device);
  Random random(1);
  std::vector<int32_t> ids;
  for (int turn = 0; turn < 60; turn++) {
    ids.resize(random.next_below(static_cast<uint32_t>(ids.size()) + 1));
    for (uint32_t i = random.next_below(20); i > 0 || ids.empty(); i -= (i > 0)) {
      ids.push_back(static_cast<int32_t>(random.next_below(64)));
    }
    ids.resize(std::min(ids.size(), size_t{200}));
    context.replace(ids);
    const auto count = static_cast<int>(random.next_below(6));
    const Reply reply = *generate(context, some_tokens(count), nullptr, nullptr);
    const Played fresh = play(ids, some_tokens(count));
    ASSERT_EQ(reply.token_ids, fresh.reply.token_ids) << turn;
    ASSERT_EQ(reply.logits_sha256, fresh.reply.logits_sha256) << turn;
    ids = context.ids();  // the next turn shares a prefix with prompt and reply
  }
  EXPECT_LT(device.stepped_tokens(), 60 * 60);
}

TEST(Generator, AStopIdEndsTheReplyAndIsNotText) {
  Scripted model({40, 41, 42});
  const Reply reply = model.say();
  EXPECT_EQ(reply.status, ReplyStatus::kLogicalEnd);
  EXPECT_THAT(reply.token_ids, ElementsAre(40, 41, 42, kEndOfTurn));
  EXPECT_EQ(reply.text, *demo_tokenizer().decode(std::vector<int32_t>{40, 41, 42}));
  EXPECT_EQ(model.context.ids().back(), kEndOfTurn);
}

TEST(Generator, NoRecoveryAfterALogicalEnd) {
  Scripted model({40});
  model.options.recovery_ids = {7};
  model.say();
  EXPECT_THAT(model.context.ids(), ElementsAre(1, 40, kEndOfTurn));
}

TEST(Generator, StopStringsMatchAcrossTokens) {
  Scripted model(*demo_tokenizer().encode("Once upon a time there was a fox."));
  const Reply reply = model.say({"n a tim", "fox"});
  EXPECT_EQ(reply.text, "Once upo");
  EXPECT_EQ(reply.status, ReplyStatus::kLogicalEnd);
  EXPECT_LT(reply.token_ids.size(), model.script.size());  // nothing is computed after the match
  std::string streamed;
  for (const std::string& piece : model.pieces) streamed += piece;
  EXPECT_EQ(streamed, reply.text);
}

TEST(Generator, TextHeldBackForAStopStringComesOutAtTheEnd) {
  Scripted model(*demo_tokenizer().encode("Once upon"));
  EXPECT_EQ(model.say({"upon a time"}).text, "Once upon");
}

TEST(Generator, PiecesAreWholeCharacters) {
  const std::string said =
      "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x8C\x9F!";  // split into bytes by the tokenizer
  Scripted model(*demo_tokenizer().encode(said));
  ASSERT_GT(model.script.size(), 10U);
  EXPECT_EQ(model.say().text, said);
  for (const std::string& piece : model.pieces) {
    EXPECT_NE(piece.front() & 0xC0, 0x80) << piece;  // no piece begins in the middle of a character
    EXPECT_EQ(*demo_tokenizer().decode(*demo_tokenizer().encode(piece)), piece);
  }
}

TEST(Generator, ACutCharacterBecomesTheReplacementCharacter) {
  Scripted model(*demo_tokenizer().encode("a\xF0\x9F\x8C\x9F"));
  model.options.max_tokens = static_cast<int>(model.script.size()) - 1;
  EXPECT_EQ(model.say().text, "a\xEF\xBF\xBD");
}

TEST(Generator, AbortEndsWithinOneTokenAndTheContextStaysRight) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(kShortPrompt);
  std::atomic<bool> abort = false;
  device.set_on_step([&] { abort = device.stepped_tokens() >= 8; });
  GenerationOptions options = some_tokens(100);
  options.abort = &abort;
  const Reply reply = *generate(context, options, nullptr, nullptr);
  EXPECT_EQ(reply.status, ReplyStatus::kAborted);
  EXPECT_EQ(device.stepped_tokens(), 8);
  EXPECT_EQ(reply.token_ids.size(), 4U);
  EXPECT_THAT(reply.token_ids, ElementsAreArray(play(kShortPrompt, some_tokens(4)).reply.token_ids));
}

TEST(Generator, AbortBeforeTheFirstTokenGivesNone) {
  std::atomic<bool> abort = true;
  GenerationOptions options = some_tokens(100);
  options.abort = &abort;
  const Played played = play(kShortPrompt, options);
  EXPECT_EQ(played.reply.status, ReplyStatus::kAborted);
  EXPECT_TRUE(played.reply.token_ids.empty());
}

TEST(Generator, AReaderThatLeavesStopsTheReply) {
  Scripted model(*demo_tokenizer().encode("Once upon a time there was a fox."));
  model.wanted_pieces = 2;
  const Reply reply = model.say();
  EXPECT_EQ(reply.status, ReplyStatus::kAborted);
  EXPECT_EQ(model.pieces.size(), 2U);
}

TEST(Generator, AFullContextStopsOrIsAnError) {
  FakeDevice device(64, 70);
  for (const WhenFull policy : {WhenFull::kStop, WhenFull::kError}) {
    Context context = *Context::create(device);
    context.append(kShortPrompt);
    GenerationOptions options = some_tokens(-1);
    options.when_full = policy;
    const Result<Reply> reply = generate(context, options, nullptr, nullptr);
    // The context holds the prompt and all but the last generated token.
    EXPECT_EQ(context.ids().size(), 71U);
    EXPECT_EQ(context.stored_tokens(), 70);
    if (policy == WhenFull::kError) {
      ASSERT_FALSE(reply);
      EXPECT_THAT(reply.error().message, HasSubstr("context is full"));
    } else {
      EXPECT_EQ(reply->status, ReplyStatus::kContextFull);
      EXPECT_EQ(reply->token_ids.size(), 66U);
    }
  }
}

TEST(Generator, RefusesWhatItCannotDo) {
  FakeDevice device;
  Context context = *Context::create(device);
  EXPECT_THAT(generate(context, some_tokens(1), nullptr, nullptr).error().message, HasSubstr("no tokens"));
  context.append(kShortPrompt);
  context.append(std::vector<int32_t>(300, 1));
  const Error error = generate(context, some_tokens(1), nullptr, nullptr).error();
  EXPECT_EQ(error.kind, ErrorKind::kNoMemory);
  EXPECT_THAT(error.message, HasSubstr("got 305 tokens, want at most 256"));
  EXPECT_EQ(device.stepped_tokens(), 0);
}

}  // namespace
}  // namespace hotaru
