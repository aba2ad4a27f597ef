#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <numeric>

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

TEST(ThreadPool, EveryThreadRunsEveryJobOnce) {
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

// Step s of every thread reads what all threads wrote in step s - 1: wrong without the barrier, and a race to TSan.
TEST(ThreadPool, BarrierSeparatesSteps) {
  for (const int threads : {2, 3, 5}) {
    constexpr int kSteps = 300;
    ThreadPool pool(threads);
    std::vector<int> now(static_cast<size_t>(threads), 1);
    std::vector<int> next(static_cast<size_t>(threads), 0);
    const std::function<void(Slice)> job = [&](Slice slice) {
      for (int step = 0; step < kSteps; step++) {
        std::vector<int>& from = step % 2 == 0 ? now : next;
        std::vector<int>& to = step % 2 == 0 ? next : now;
        const int sum = std::accumulate(from.begin(), from.end(), 0);
        to[static_cast<size_t>(slice.index)] = sum % 1000;
        pool.barrier().wait();
      }
    };
    pool.run(job);
    int expected = 1;
    for (int step = 0; step < kSteps; step++) expected = expected * threads % 1000;
    for (const int value : kSteps % 2 == 0 ? now : next) EXPECT_EQ(value, expected);
  }
}

TEST(ThreadPool, WakesSleepers) {
  ThreadPool pool(2);
  std::atomic<int> runs{0};
  const std::function<void(Slice)> job = [&](Slice) { runs++; };
  for (int i = 0; i < 20; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // long enough that the worker sleeps in the kernel
    pool.run(job);
  }
  EXPECT_EQ(runs.load(), 40);
}

TEST(ThreadPool, SleepsThroughALongStep) {
  ThreadPool pool(2);
  bool done = false;
  const std::function<void(Slice)> job = [&](Slice slice) {
    if (slice.index == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      done = true;
    }
    pool.barrier().wait();
    EXPECT_TRUE(done);
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
