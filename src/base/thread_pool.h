// One pool of pinned threads that play jobs step by step. Waiting is spinning for a short time (a token's kernels
// follow each other within microseconds), longer where nobody else wants the processor, then a futex sleep.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "base/slice.h"

namespace hotaru {

// Work in steps. A step is cut into parts; all parts of a step are done before one of the next begins.
struct SteppedJob {
  size_t steps = 1;
  // Called once, by one thread, when everything before `step` is done. Returns its parts: at most kMaxParts, 0 to leave
  // the step out.
  std::function<int(size_t step)> begin;
  // Part `part.index` of `part.count`. `thread` (0 is the caller of run) plays one part at a time.
  std::function<void(size_t step, Slice part, int thread)> play;
};

// Threads take parts as they come. So one that is late, because it still sleeps or because its processor is busy with
// somebody else's work, holds nobody up: the others do its share.
class ThreadPool {
 public:
  static constexpr int kMaxParts = 4095;

  // thread_count includes the calling thread; 0 means default_thread_count().
  explicit ThreadPool(int thread_count = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int size() const { return size_; }
  // Both return when all is done, are not re-entrant and allocate nothing: functions are passed by reference.
  void run(const SteppedJob& job);
  // job(Slice{i, size()}) for every i, on any thread and several at once; a thread may play more than one.
  void run(const std::function<void(Slice)>& job);

 private:
  void work(int index);
  bool take_part(int thread);
  void post(const SteppedJob& job, size_t step);
  void wait_for_other_than(uint64_t board);
  const int size_;
  const bool may_spin_;  // false with more threads than processors: spinning would keep others from running
  std::vector<std::thread> workers_;
  const SteppedJob* job_ = nullptr;
  size_t step_ = 0;         // on the board
  SteppedJob single_step_;  // of run(function)
  const std::function<void(Slice)>* slices_ = nullptr;
  alignas(64) std::atomic<uint64_t> board_{0};  // what there is to do: thread_pool.cc
  alignas(64) std::atomic<int> done_{0};        // parts of the step on the board
  alignas(64) std::atomic<bool> someone_sleeps_{false};
  std::atomic<int> bell_{0};  // what sleepers wait on
  std::atomic<bool> stop_{false};
};

// HOTARU_THREADS if set and valid, otherwise the processors this process may use (affinity and cgroup quota).
int default_thread_count();

}  // namespace hotaru
