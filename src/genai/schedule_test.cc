// Random schedules on the fake device (random_schedule.h). HOTARU_SOAK_MINUTES makes them go on for that long.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "genai/fake_device.h"
#include "genai/random_schedule.h"

namespace hotaru {
namespace {

constexpr int kVocabulary = 64;
constexpr int kContextTokens = 192;

std::unique_ptr<FakeDevice> fake_device(int pages) {
  auto device = std::make_unique<FakeDevice>(kVocabulary, kContextTokens, pages);
  device->set_adapters({"a", "b"});
  device->set_rows(40, 4, 3);
  return device;
}

struct Counts {
  int tokens = 0, shifts = 0, resumes = 0, aborts = 0, forks = 0, loads = 0, samples = 0, full = 0, busy = 0,
      readings = 0;
  uint64_t given_up = 0, reused = 0;
};

void play(const ScheduleOptions& options, int pages, int operations, Counts& counts) {
  Random random(options.seed, 1);
  EngineOptions engine;
  engine.queued_requests = static_cast<int>(random.next_below(6));
  engine.running_requests = 1 + static_cast<int>(random.next_below(8));
  engine.prefill_chunk = static_cast<int>(random.next_below(41));
  engine.unread_pieces = 1 + static_cast<int>(random.next_below(8));
  engine.reuses_prefixes = random.next_below(4) != 0;
  const std::unique_ptr<FakeDevice> alone = fake_device(0);
  RandomSchedule schedule(fake_device(pages), *alone, engine, options);
  schedule.play(operations);
  EXPECT_EQ(alone->contexts(), 0);
  counts.tokens += schedule.count("token");
  counts.shifts += schedule.count("shift");
  counts.resumes += schedule.count("resume");
  counts.aborts += schedule.count("abort");
  counts.forks += schedule.count("fork");
  counts.loads += schedule.count("load");
  counts.samples += schedule.count("samples");
  counts.full += schedule.count("full");
  counts.busy += schedule.count("busy");
  counts.readings += schedule.readings();
  counts.given_up += schedule.core().scheduler().given_up();
  counts.reused += schedule.core().state().reused_tokens;
}

// Plays schedules, each with its own seed, until `operations` have been played, or for the minutes that were asked for.
Counts play_many(const ScheduleOptions& common, int pages, int operations) {
  const char* minutes = std::getenv("HOTARU_SOAK_MINUTES");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(minutes != nullptr ? static_cast<int>(std::atof(minutes) * 60 / 2) : 0);
  constexpr int kEach = 1000;
  Counts counts;
  ScheduleOptions options = common;
  for (int played = 0; played < operations || std::chrono::steady_clock::now() < end; played += kEach) {
    SCOPED_TRACE(fmt::format("seed {}", options.seed));
    play(options, pages, kEach, counts);
    if (testing::Test::HasFailure()) break;
    options.seed++;
  }
  return counts;
}

TEST(Schedule, EveryReplyIsWhatItIsAlone) {
  const Counts counts = play_many({.seed = 1, .folder = testing::TempDir()}, 60, 30000);
  fmt::print(
      "{} tokens, {} shifts, {} resumes, {} aborts, {} forks, {} loads, {} samples, {} full, {} busy, {} readings, {} "
      "reused\n",
      counts.tokens, counts.shifts, counts.resumes, counts.aborts, counts.forks, counts.loads, counts.samples,
      counts.full, counts.busy, counts.readings, counts.reused);
  // A schedule in which these never happen proves nothing about them.
  EXPECT_GT(counts.tokens, 1000);
  EXPECT_GT(counts.shifts, 20);
  EXPECT_GT(counts.resumes, 20);
  EXPECT_GT(counts.aborts, 20);
  EXPECT_GT(counts.forks, 20);
  EXPECT_GT(counts.samples, 20);
  EXPECT_GT(counts.full, 20);
  EXPECT_GT(counts.busy, 20);
  EXPECT_GT(counts.reused, 1000U);
  EXPECT_GT(counts.readings, 20);
}

TEST(Schedule, ARealDevice) {
  DeviceOptions options;
  options.context_tokens = 8192;
  options.threads = 2;
  const std::string hef = std::string(HOTARU_SOURCE_DIR) + "/tests/data/hef/demo-v1.hef";
  auto device = Device::open(hef, options);
  ASSERT_TRUE(device) << device.error().message;
  options.threads = 1;
  auto alone = Device::open(hef, options);
  ASSERT_TRUE(alone) << alone.error().message;
  RandomSchedule schedule(*std::move(device), **alone, {.unread_pieces = 4},
                          {.seed = 5, .longest_prompt = 60, .longest_reply = 10, .folder = testing::TempDir()});
  schedule.play(400);
  EXPECT_GT(schedule.count("token"), 50);
  EXPECT_GT(schedule.count("load"), 1);
}

TEST(Schedule, PagesThatRunOutNeverChangeAToken) {
  const Counts counts = play_many({.seed = 100000, .pages_are_scarce = true, .folder = testing::TempDir()}, 7, 5000);
  EXPECT_GT(counts.tokens, 1000);
  EXPECT_GT(counts.given_up, 20U);
}

}  // namespace
}  // namespace hotaru
