#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

namespace hotaru {
namespace {

TEST(Slice, CoversEveryItemOnce) {
  for (const int count : {1, 2, 3, 7, 64}) {
    for (const size_t items : {0U, 1U, 5U, 64U, 1000U}) {
      size_t next = 0;
      for (int i = 0; i < count; i++) {
        const Slice::Range range = Slice{i, count}.range(items);
        EXPECT_EQ(range.begin, next);
        next = range.end;
      }
      EXPECT_EQ(next, items);
    }
  }
}

TEST(ThreadPool, EverySliceRunsOnce) {
  for (const int threads : {1, 2, 3, 9}) {  // also more than the machine has
    ThreadPool pool(threads);
    std::vector<int> runs(static_cast<size_t>(threads));
    const std::function<void(Slice)> job = [&](Slice slice) {
      EXPECT_EQ(slice.count, threads);
      runs[static_cast<size_t>(slice.index)]++;
    };
    for (int i = 0; i < 200; i++) pool.run(job);
    for (const int count : runs) EXPECT_EQ(count, 200);
  }
}

// Step s of every part reads what all parts wrote in step s - 1: wrong unless steps are kept apart, and a race to TSan.
// Every third step has no parts, the others from 1 to 7.
TEST(ThreadPool, StepsFollowEachOther) {
  constexpr size_t kSteps = 300;
  constexpr size_t kMostParts = 7;
  const auto parts_of = [](size_t step) { return step % 3 == 2 ? 0 : static_cast<int>(1 + step % kMostParts); };
  std::vector<int> expected{1};
  for (size_t step = 0; step < kSteps; step++) {
    const int sum = std::accumulate(expected.begin(), expected.end(), 0);
    if (parts_of(step) > 0) expected.assign(static_cast<size_t>(parts_of(step)), sum % 1000 + 1);
  }
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    std::vector<int> now;
    std::vector<int> next{1};
    size_t begun = 0;
    SteppedJob job;
    job.steps = kSteps;
    job.begin = [&](size_t step) {
      EXPECT_EQ(step, begun++);
      const int parts = threads == 1 ? std::min(parts_of(step), 1) : parts_of(step);
      if (parts > 0) {
        now = next;
        next.assign(static_cast<size_t>(parts_of(step)), 0);
      }
      return parts;
    };
    job.play = [&](size_t step, Slice part, int thread) {
      EXPECT_TRUE(thread >= 0 && thread < threads);
      const auto [first, last] = part.range(static_cast<size_t>(parts_of(step)));
      for (size_t i = first; i < last; i++) next[i] = std::accumulate(now.begin(), now.end(), 0) % 1000 + 1;
    };
    for (int repeat = 0; repeat < 20; repeat++) {
      next.assign(1, 1);
      begun = 0;
      pool.run(job);
      EXPECT_EQ(begun, kSteps);
      EXPECT_EQ(next, expected) << threads;
    }
  }
}

// A thread's workspace is its own: it plays one part at a time.
TEST(ThreadPool, AThreadPlaysOnePartAtATime) {
  constexpr int kThreads = 4;
  ThreadPool pool(kThreads);
  std::array<std::atomic<int>, kThreads> playing{};
  SteppedJob job;
  job.steps = 50;
  job.begin = [](size_t) { return 16; };
  job.play = [&](size_t, Slice, int thread) {
    std::atomic<int>& mine = playing[static_cast<size_t>(thread)];
    EXPECT_EQ(mine.fetch_add(1), 0);
    for (int i = 0; i < 100; i++) EXPECT_EQ(mine.load(), 1);
    EXPECT_EQ(mine.fetch_sub(1), 1);
  };
  for (int i = 0; i < 20; i++) pool.run(job);
}

TEST(ThreadPool, WakesSleepers) {
  ThreadPool pool(2);
  std::atomic<int> runs{0};
  // Both slices wait for the other: one thread alone could not finish.
  const std::function<void(Slice)> job = [&](Slice) {
    const int wanted = (runs.fetch_add(1) / 2 + 1) * 2;
    while (runs.load() < wanted) std::this_thread::yield();
  };
  for (int i = 0; i < 20; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // long enough that the worker sleeps in the kernel
    pool.run(job);
  }
  EXPECT_EQ(runs.load(), 40);
}

// The caller falls asleep behind a long part of another thread and is woken by the next step.
TEST(ThreadPool, SleepsThroughALongPart) {
  ThreadPool pool(2);
  std::atomic<int> taken{0};
  std::atomic<bool> done{false};
  SteppedJob job;
  job.steps = 2;
  job.begin = [](size_t) { return 2; };
  job.play = [&](size_t step, Slice, int thread) {
    if (step == 1) {
      EXPECT_TRUE(done.load());
      return;
    }
    taken++;
    while (taken.load() < 2) std::this_thread::yield();
    if (thread == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    done = true;
  };
  pool.run(job);
}

TEST(ThreadCount, FollowsTheEnvironment) {
  ::setenv("HOTARU_THREADS", "3", 1);
  EXPECT_EQ(default_thread_count(), 3);
  for (const char* bad : {"", "0", "-1", "2x", "99999999999"}) {
    ::setenv("HOTARU_THREADS", bad, 1);
    EXPECT_LE(default_thread_count(), static_cast<int>(std::thread::hardware_concurrency())) << bad;
  }
  ::unsetenv("HOTARU_THREADS");
  EXPECT_GE(default_thread_count(), 1);
}

}  // namespace
}  // namespace hotaru
