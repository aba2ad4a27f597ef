// One pool of pinned threads. run() plays one function on all of them; a Barrier lets the function go step by step.
// Waiting is spinning for a short time (a token's kernels follow each other within microseconds), then a futex sleep.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace hotaru {

// One thread's share of a job: thread `index` of `count`.
struct Slice {
  int index = 0;
  int count = 1;

  // This thread's half-open range of `items` things, in contiguous, nearly equal parts.
  struct Range {
    size_t begin;
    size_t end;
  };
  [[nodiscard]] constexpr Range range(size_t items) const {
    const auto part = static_cast<size_t>(index);
    const auto parts = static_cast<size_t>(count);
    return {items * part / parts, items * (part + 1) / parts};
  }
};

// Sense-reversing spin barrier for a fixed number of threads. No lock, no system call while all threads run.
class Barrier {
 public:
  explicit Barrier(int count);
  void wait();

 private:
  const int count_;
  const bool may_spin_;  // false with more threads than processors: spinning would keep the awaited thread from running
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> generation_{0};
};

class ThreadPool {
 public:
  // thread_count includes the calling thread; 0 means default_thread_count().
  explicit ThreadPool(int thread_count = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int size() const { return size_; }
  // Runs job(Slice{i, size()}) on every thread; the caller is thread 0. Returns when all have returned. Not re-entrant.
  // Never allocates: the function is passed by reference.
  void run(const std::function<void(Slice)>& job);
  [[nodiscard]] Barrier& barrier() { return barrier_; }

 private:
  void work(int index);
  const int size_;
  std::vector<std::thread> workers_;
  Barrier barrier_;
  const bool may_spin_;
  alignas(64) std::atomic<unsigned> job_number_{0};
  alignas(64) std::atomic<int> running_{0};
  const std::function<void(Slice)>* job_ = nullptr;
  std::atomic<bool> stop_{false};
};

// HOTARU_THREADS if set and valid, otherwise the processors this process may use (affinity and cgroup quota).
int default_thread_count();

}  // namespace hotaru
