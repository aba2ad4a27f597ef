#include "genai/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "genai/fake_device.h"
#include "genai/generator.h"

namespace hotaru {
namespace {

// Keeps the rows of every step.
class RecordingDevice : public FakeDevice {
 public:
  using FakeDevice::FakeDevice;
  void step(std::span<const StepRow> rows) override {
    steps.emplace_back(rows.begin(), rows.end());
    FakeDevice::step(rows);
  }
  std::vector<std::vector<StepRow>> steps;
};

std::vector<int32_t> some_ids(int count, int seed) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; i++) ids.push_back((i * 7 + seed * 13) % 64);
  return ids;
}

GenerationOptions some_tokens(int count) {
  GenerationOptions options;
  options.max_tokens = count;
  options.sampling.seed = 3;
  return options;
}

// A reply with its context, in a scheduler.
struct Writer {
  Writer(Device& device, Scheduler& scheduler, const std::vector<int32_t>& prompt, int max_tokens,
         int adapter = kNoAdapter)
      : context(*Context::create(device, adapter)) {
    context.append(prompt);
    generation = *Generation::begin(context, some_tokens(max_tokens), {});
    scheduler.add(*generation);
  }
  Context context;
  std::optional<Generation> generation;
};

std::vector<int32_t> alone(const std::vector<int32_t>& prompt, int max_tokens, int adapter = kNoAdapter) {
  FakeDevice device(64, 4096);
  device.set_adapters({"a", "b", "c"});
  Context context = *Context::create(device, adapter);
  context.append(prompt);
  return generate(context, some_tokens(max_tokens), nullptr, nullptr)->token_ids;
}

// Rows per context of one step.
std::map<int, int> rows_of(const std::vector<StepRow>& step) {
  std::map<int, int> rows;
  for (const StepRow& row : step) rows[row.context]++;
  return rows;
}

TEST(Scheduler, APromptOf2000TokensNeverStallsADecodingReply) {
  RecordingDevice device(64, 4096, 200);
  device.set_rows(128, 4, 2);
  Scheduler scheduler(device, {.decoding = 8, .prefill_chunk = 64, .free_some_pages = nullptr});
  Writer decoding(device, scheduler, some_ids(3, 1), 500);
  for (int i = 0; i < 5; i++) scheduler.step();
  const Writer prompt(device, scheduler, some_ids(2000, 2), 4);
  const size_t first = device.steps.size();
  const size_t tokens = decoding.generation->generated().size();
  while (!prompt.generation->has_ended()) scheduler.step();
  for (size_t i = first; i < device.steps.size(); i++) {
    EXPECT_EQ(device.steps[i].front().context, 0) << i;  // a token in every step
    EXPECT_LE(device.steps[i].size(), 1U + 64U);         // that is not longer than one chunk
  }
  EXPECT_EQ(decoding.generation->generated().size() - tokens, device.steps.size() - first);
  EXPECT_EQ(device.steps.size() - first, 2000 / 64 + 1 + 3);
  EXPECT_EQ(prompt.generation->reply().token_ids, alone(some_ids(2000, 2), 4));
}

TEST(Scheduler, APromptAloneHasLongStepsAndShortOnesBesideAReply) {
  RecordingDevice device(64, 4096, 200);
  device.set_rows(256, 4, 2);
  Scheduler scheduler(device, {});
  const Writer first(device, scheduler, some_ids(600, 1), 500);
  for (int i = 0; i < 4; i++) scheduler.step();
  const Writer second(device, scheduler, some_ids(300, 2), 4);
  for (int i = 0; i < 3; i++) scheduler.step();
  std::vector<size_t> rows;
  for (const std::vector<StepRow>& step : device.steps) rows.push_back(step.size());
  EXPECT_EQ(rows, (std::vector<size_t>{256, 256, 88, 1, 1 + 128, 1 + 128, 1 + 44}));
}

TEST(Scheduler, PromptsShareTheChunkAndShortOnesEndSoon) {
  RecordingDevice device(64, 4096, 200);
  Scheduler scheduler(device, {.decoding = 8, .prefill_chunk = 60, .free_some_pages = nullptr});
  const Writer longer(device, scheduler, some_ids(1000, 1), 1);
  const Writer other(device, scheduler, some_ids(1000, 2), 1);
  const Writer shorter(device, scheduler, some_ids(12, 3), 1);
  scheduler.step();
  EXPECT_TRUE(shorter.generation->has_ended());
  EXPECT_EQ(rows_of(device.steps[0]), (std::map<int, int>{{0, 24}, {1, 24}, {2, 12}}));
  scheduler.step();
  EXPECT_EQ(rows_of(device.steps[1]), (std::map<int, int>{{0, 30}, {1, 30}}));
}

TEST(Scheduler, MoreRepliesThanFitTakeTurns) {
  RecordingDevice device(64, 256, 200);
  Scheduler scheduler(device, {.decoding = 3, .prefill_chunk = 5, .free_some_pages = nullptr});
  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < 7; i++) writers.push_back(std::make_unique<Writer>(device, scheduler, some_ids(10, i), 30));
  for (int i = 0; i < 60; i++) scheduler.step();
  size_t least = 1000;
  size_t most = 0;
  for (const auto& writer : writers) {
    least = std::min(least, writer->generation->generated().size());
    most = std::max(most, writer->generation->generated().size());
  }
  EXPECT_GT(least, 10U);
  EXPECT_LE(most - least, 10U);
  while (scheduler.step()) {
  }
  for (int i = 0; i < 7; i++) {
    EXPECT_EQ(writers[static_cast<size_t>(i)]->generation->reply().token_ids, alone(some_ids(10, i), 30));
  }
}

TEST(Scheduler, FourContextsUnderFourAdaptersAreOneBatchWithNeighboursAlike) {
  RecordingDevice device(64, 256, 200);
  device.set_adapters({"a", "b", "c"});
  Scheduler scheduler(device, {});
  std::vector<std::unique_ptr<Writer>> writers;
  std::map<int, int> adapter_of;  // by the device's context
  for (int i = 0; i < 8; i++) {
    const int adapter = i % 4 - 1;
    writers.push_back(std::make_unique<Writer>(device, scheduler, some_ids(10, i), 20, adapter));
    adapter_of[i] = adapter;
  }
  while (scheduler.step()) {
  }
  for (int i = 0; i < 8; i++) {
    EXPECT_EQ(writers[static_cast<size_t>(i)]->generation->reply().token_ids, alone(some_ids(10, i), 20, i % 4 - 1));
  }
  EXPECT_EQ(device.steps.back().size(), 8U);
  for (const std::vector<StepRow>& step : device.steps) {
    int changes = 0;
    for (size_t r = 1; r < step.size(); r++) {
      changes += adapter_of[step[r].context] != adapter_of[step[r - 1].context] ? 1 : 0;
    }
    EXPECT_LE(changes, 3);
  }
}

TEST(Scheduler, WithoutPagesTheLastToComeWaitsAndNobodysTokensChange) {
  RecordingDevice device(64, 512, 8);
  Scheduler scheduler(device, {});
  const Writer first(device, scheduler, some_ids(60, 1), 300);
  const Writer second(device, scheduler, some_ids(60, 2), 300);
  const Writer third(device, scheduler, some_ids(60, 3), 300);
  while (scheduler.step()) {
  }
  EXPECT_EQ(first.generation->reply().token_ids, alone(some_ids(60, 1), 300));
  EXPECT_GT(scheduler.given_up(), 0U);
  // The pages of a reply that has ended stay with its context: now those behind it are told.
  EXPECT_EQ(second.generation->reply().status, ReplyStatus::kContextFull);
  const std::vector<int32_t> wanted = alone(some_ids(60, 2), 300);
  const std::vector<int32_t>& got = second.generation->reply().token_ids;
  EXPECT_TRUE(std::equal(got.begin(), got.end(), wanted.begin()));
}

TEST(Scheduler, KeptPagesGoFirst) {
  FakeDevice device(64, 512, 4);
  std::vector<Context> kept;
  for (int i = 0; i < 3; i++) {
    kept.push_back(*Context::create(device));
    kept.back().append(some_ids(10, i));
    ASSERT_TRUE(generate(kept.back(), some_tokens(0), nullptr, nullptr));
  }
  const auto free_some_pages = [&kept] {
    if (kept.empty()) return false;
    kept.pop_back();
    return true;
  };
  Scheduler scheduler(device, {.decoding = 0, .prefill_chunk = 0, .free_some_pages = free_some_pages});
  const Writer first(device, scheduler, some_ids(60, 1), 100);
  while (scheduler.step()) {
  }
  EXPECT_EQ(first.generation->reply().status, ReplyStatus::kMaxTokens);
  EXPECT_EQ(kept.size(), 1U);  // 159 tokens take three pages of four
}

TEST(Scheduler, APausedReplyGetsNoRowsAndLendsItsPages) {
  RecordingDevice device(64, 512, 4);
  Scheduler scheduler(device, {});
  const Writer paused(device, scheduler, some_ids(60, 1), 150);
  for (int i = 0; i < 90; i++) scheduler.step();
  Generation& waiting = const_cast<Generation&>(*paused.generation);
  waiting.set_paused(true);
  const Writer later(device, scheduler, some_ids(60, 2), 150);
  while (scheduler.step()) {
  }
  EXPECT_EQ(later.generation->reply().token_ids, alone(some_ids(60, 2), 150));
  EXPECT_EQ(paused.generation->generated().size(), 90U);
}

TEST(Scheduler, APausedReplyLendsItsPlaceInTheDevice) {
  RecordingDevice device(64, 512, 64);
  Scheduler scheduler(device, {});
  const Writer paused(device, scheduler, some_ids(60, 1), 100);
  for (int i = 0; i < 5; i++) scheduler.step();
  auto& waiting = const_cast<Generation&>(*paused.generation);
  EXPECT_FALSE(scheduler.take_from_paused());
  waiting.set_paused(true);
  std::vector<Context> others;
  while (device.contexts() < KvPool::kMaxContexts) others.push_back(*Context::create(device));
  EXPECT_TRUE(scheduler.take_from_paused());
  EXPECT_FALSE(scheduler.take_from_paused());
  {
    const Writer later(device, scheduler, some_ids(60, 2), 50);
    waiting.set_paused(false);
    while (scheduler.step()) {
      if (later.generation->has_ended()) break;
    }
    EXPECT_EQ(later.generation->reply().token_ids, alone(some_ids(60, 2), 50));
    EXPECT_EQ(paused.generation->generated().size(), 5U);  // it waits: nobody behind it has a place to give
    scheduler.remove(*later.generation);
  }
  while (scheduler.step()) {
  }
  EXPECT_EQ(paused.generation->reply().token_ids, alone(some_ids(60, 1), 100));
}

}  // namespace
}  // namespace hotaru
