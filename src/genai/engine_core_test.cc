#include "genai/engine_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "genai/fake_device.h"
#include "genai/generator.h"
#include "text/text_bundle.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

LanguageModel fake_model(int context_tokens = 256, int pages = 64) {
  LanguageModel::Parts parts;
  parts.name = "fake";
  auto device = std::make_unique<FakeDevice>(64, context_tokens, pages);
  device->set_adapters({"a", "b"});
  parts.device = std::move(device);
  return *LanguageModel::from_parts(std::move(parts));
}

struct Core : EngineCore {
  explicit Core(const EngineOptions& options = {}, int context_tokens = 256, int pages = 64)
      : EngineCore(fake_model(context_tokens, pages), options, std::make_shared<EngineSignals>()) {}
  [[nodiscard]] FakeDevice& device() const { return static_cast<FakeDevice&>(model().device()); }
};

std::vector<int32_t> some_ids(int count, int seed = 1) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; i++) ids.push_back((i * 7 + seed * 13) % 64);
  return ids;
}

GenerationRequest request_of(const std::vector<int32_t>& ids, int max_tokens) {
  GenerationRequest request;
  request.ids = ids;
  request.options.max_tokens = max_tokens;
  request.options.sampling.seed = 5;
  request.options.sampling.frequency_penalty = 0.4F;
  request.options.recovery_ids = {60, 61};
  return request;
}

// The reply, when all that is there has been played.
Reply play(EngineCore& core, const GenerationRequest& request) {
  const auto channels = core.submit(request, 1);
  EXPECT_TRUE(channels) << channels.error().message;
  while (!channels->front()->has_ended()) {
    core.step();
    static_cast<void>(channels->front()->read(std::chrono::milliseconds(0)));
  }
  return channels->front()->result();
}

TEST(EngineCore, AReplyThatIsCutAnywhereSavedAndLoadedElsewhereGoesOnAsIfNothingHadBeen) {
  const std::string path = testing::TempDir() + "/cut_context";
  constexpr int kTokens = 40;
  Core whole_core;
  const Reply whole = play(whole_core, request_of(some_ids(30), kTokens));
  ASSERT_EQ(whole.token_ids.size(), 40U);
  for (int cut = 1; cut < kTokens; cut++) {
    Core first;
    const ContextId context = *first.create_context(kNoAdapter);
    GenerationRequest request = request_of(some_ids(30), cut);
    request.context = context;
    const Reply beginning = play(first, request);
    ASSERT_TRUE(first.save_context(context, path, "a chat"));

    Core second;
    const Result<Engine::LoadedContext> loaded = second.load_context(path);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->host_state, "a chat");
    GenerationRequest rest = request_of({}, kTokens - cut);
    rest.context = loaded->context;
    rest.resumes = true;
    rest.options.sampling = {};  // those of the cut reply hold
    const Reply end = play(second, rest);
    EXPECT_LE(second.device().stepped_tokens(), kTokens - cut + 1);  // nothing that was stored is computed again
    std::vector<int32_t> ids = beginning.token_ids;
    ids.insert(ids.end(), end.token_ids.begin(), end.token_ids.end());
    EXPECT_EQ(ids, whole.token_ids) << cut;
  }
  std::filesystem::remove(path);
}

TEST(EngineCore, OnlyACutReplyResumesAndOnlyUntilTheContextChanges) {
  Core core;
  const ContextId context = *core.create_context(kNoAdapter);
  GenerationRequest request = request_of(some_ids(5), 4);
  request.context = context;
  play(core, request);
  EXPECT_TRUE(core.context_state(context)->has_cut_reply);
  const ContextId twin = *core.fork_context(context);
  ASSERT_TRUE(core.set_adapter(twin, 1));
  EXPECT_FALSE(core.context_state(twin)->has_cut_reply);
  EXPECT_EQ(core.context_state(twin)->stored_tokens, 0);
  ASSERT_TRUE(core.clear_context(context));
  GenerationRequest resume = request_of({}, 4);
  resume.context = context;
  resume.resumes = true;
  EXPECT_THAT(core.submit(resume, 1).error().message, HasSubstr("no cut reply"));
}

TEST(EngineCore, APromptThatBeginsLikeAnEarlierOneIsNotComputedAgainAndSaysTheSame) {
  std::vector<int32_t> prompt = some_ids(150);
  for (const bool reuses : {false, true}) {
    Core core({.reuses_prefixes = reuses});
    play(core, request_of(prompt, 5));
    std::vector<int32_t> second = prompt;
    second[140] = 1;
    const Reply reply = play(core, request_of(second, 5));
    EXPECT_EQ(reply.prefilled_tokens, reuses ? 10 : 150);
    EXPECT_EQ(core.state().reused_tokens, reuses ? 140U : 0U);
    Core fresh;
    EXPECT_EQ(reply.token_ids, play(fresh, request_of(second, 5)).token_ids);
    GenerationRequest other = request_of(second, 5);
    other.adapter = 0;  // another adapter shares nothing
    EXPECT_EQ(play(core, other).prefilled_tokens, 150);
  }
}

TEST(EngineCore, ALiveContextLendsItsWholePages) {
  Core core;
  const ContextId context = *core.create_context(kNoAdapter);
  GenerationRequest request = request_of(some_ids(150), 5);
  request.context = context;
  play(core, request);
  EXPECT_EQ(play(core, request_of(some_ids(150), 5)).prefilled_tokens, 150 - 128);
}

TEST(EngineCore, KeptPrefixesMakeRoomForReplies) {
  Core core({}, 512, 8);
  for (int i = 0; i < 10; i++) play(core, request_of(some_ids(100, i), 5));
  EXPECT_EQ(play(core, request_of(some_ids(400, 77), 50)).token_ids.size(), 50U);
}

TEST(EngineCore, KeptContextsMakeRoomForContexts) {
  Core core;
  for (int i = 0; i < 30; i++) play(core, request_of(some_ids(3, i), 2));
  for (int i = 0; i < KvPool::kMaxContexts; i++) ASSERT_TRUE(core.create_context(kNoAdapter)) << i;
}

// The second reply waits for the first one's pages, which are given back when that one has filled the context.
TEST(EngineCore, WhoWaitsForPagesGetsThoseOfOneWhoseContextIsFull) {
  Core alone({}, 256, 4);
  const Reply first = play(alone, request_of(some_ids(10, 1), -1));
  const Reply second = play(alone, request_of(some_ids(10, 2), -1));
  EXPECT_EQ(second.status, ReplyStatus::kContextFull);
  Core core({}, 256, 4);
  std::vector<std::shared_ptr<ReplyChannel>> channels;
  for (int i = 1; i <= 3; i++) channels.push_back(core.submit(request_of(some_ids(10, i), -1), 1)->front());
  while (core.step()) {
    for (const auto& channel : channels) static_cast<void>(channel->read(std::chrono::milliseconds(0)));
  }
  EXPECT_EQ(channels[0]->result().token_ids, first.token_ids);
  EXPECT_EQ(channels[1]->result().token_ids, second.token_ids);
  EXPECT_EQ(channels[2]->result().token_ids.size(), second.token_ids.size());
}

// The device has places for 64 contexts and here pages for one and a half; who holds a context does not notice.
TEST(EngineCore, IdleContextsMakeRoomForOthers) {
  Core core({}, 256, 6);
  std::vector<ContextId> contexts;
  for (int i = 0; i < KvPool::kMaxContexts + 3; i++) contexts.push_back(*core.create_context(kNoAdapter));
  for (int turn = 0; turn < 2; turn++) {
    for (int i = 0; i < 3; i++) {
      GenerationRequest request = request_of(some_ids(90, 10 * i + turn), 10);
      request.context = contexts[static_cast<size_t>(i)];
      const Reply reply = play(core, request);
      Core fresh;
      GenerationRequest whole = request_of(core.context_state(*request.context)->ids, 10);
      whole.ids.resize(whole.ids.size() - 12);  // with the recovery sequence
      EXPECT_EQ(reply.token_ids, play(fresh, whole).token_ids) << i << " in turn " << turn;
    }
  }
  EXPECT_EQ(core.context_state(contexts[0])->stored_tokens, 0);
  EXPECT_GT(core.context_state(contexts[2])->stored_tokens, 0);
  const ContextId twin = *core.fork_context(contexts[0]);
  EXPECT_EQ(core.context_state(twin)->ids, core.context_state(contexts[0])->ids);
}

// The device has places for 64 contexts; slow readers may be more.
TEST(EngineCore, PausedRepliesKeepNobodyFromAPlaceInTheDevice) {
  constexpr int kSlow = 2 * KvPool::kMaxContexts;
  Core core({.queued_requests = kSlow, .running_requests = 3, .unread_pieces = 4});
  std::vector<std::shared_ptr<ReplyChannel>> slow;
  for (int i = 0; i < kSlow; i++) slow.push_back(core.submit(request_of(some_ids(10, i), 20), 1)->front());
  while (core.step()) {
  }
  EXPECT_EQ(core.state().paused_requests, kSlow);
  EXPECT_EQ(core.state().queued_requests, 0);
  Core fresh;
  EXPECT_EQ(play(core, request_of(some_ids(10, 1000), 20)).token_ids,
            play(fresh, request_of(some_ids(10, 1000), 20)).token_ids);
  EXPECT_TRUE(core.create_context(kNoAdapter));
  for (int i = 0; i < kSlow; i++) {
    while (!slow[static_cast<size_t>(i)]->has_ended()) {
      static_cast<void>(slow[static_cast<size_t>(i)]->read(std::chrono::milliseconds(0)));
      core.step();
    }
    EXPECT_EQ(slow[static_cast<size_t>(i)]->result().token_ids, play(fresh, request_of(some_ids(10, i), 20)).token_ids);
  }
}

TEST(EngineCore, AbortedSamplesDoNotTakeTheOthersWithThem) {
  Core core({.prefill_chunk = 4});
  auto channels = *core.submit(request_of(some_ids(20), 6), 3);
  core.step();
  channels[0]->abort();  // in the middle of the prompt that all of them need
  while (core.step()) {
  }
  EXPECT_EQ(channels[0]->result().status, ReplyStatus::kAborted);
  for (size_t i = 1; i < 3; i++) {
    GenerationRequest one = request_of(some_ids(20), 6);
    one.options.sampling.seed += i;
    Core fresh;
    EXPECT_EQ(channels[i]->result().token_ids, play(fresh, one).token_ids);
  }
}

TEST(EngineCore, PrefixTokensOfTheHefAreLeftOutWhereTheyBeginAContext) {
  Core core;
  core.device().set_prefix({9, 9});
  std::vector<int32_t> ids = some_ids(10);
  const Reply bare = play(core, request_of(ids, 5));
  ids.insert(ids.begin(), {9, 9});
  EXPECT_EQ(play(core, request_of(ids, 5)).token_ids, bare.token_ids);
  const ContextId context = *core.create_context(kNoAdapter);
  GenerationRequest request = request_of(ids, 0);
  request.context = context;
  play(core, request);
  EXPECT_EQ(core.context_state(context)->ids.size(), 10U);
  play(core, request);  // appended: they are text there
  EXPECT_EQ(core.context_state(context)->ids.size(), 22U);
}

}  // namespace
}  // namespace hotaru
