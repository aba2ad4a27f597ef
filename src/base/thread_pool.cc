#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "base/file.h"

namespace hotaru {
namespace {

// Longer than the gap between two kernels of a token, much shorter than a scheduler's time slice.
constexpr auto kSpinTime = std::chrono::microseconds(40);
constexpr size_t kMaxProcessors = 8192;
constexpr int kMaxThreads = 1024;

inline void relax_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns once `value` differs from `old`: spins or yields for kSpinTime, then sleeps in the kernel.
template <typename T>
void wait_while_equal(const std::atomic<T>& value, T old, bool may_spin) {
  if (value.load(std::memory_order_acquire) != old) return;
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; i++) {
      if (may_spin) {
        relax_processor();
      } else {
        ::sched_yield();
      }
      if (value.load(std::memory_order_acquire) != old) return;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  value.wait(old, std::memory_order_acquire);
}

// Sequentially consistent, not release: notify_all() first looks whether anybody sleeps, and that load must not
// overtake the store, or a thread going to sleep at this moment would never be woken.
template <typename T>
void publish(std::atomic<T>& value, T next) {
  value.store(next);
  value.notify_all();
}

// The processors that this process may run on, lowest number first; empty if the system does not say.
std::vector<int> usable_processors() {
  cpu_set_t* set = CPU_ALLOC(kMaxProcessors);
  const size_t bytes = CPU_ALLOC_SIZE(kMaxProcessors);
  CPU_ZERO_S(bytes, set);
  std::vector<int> processors;
  if (::sched_getaffinity(0, bytes, set) == 0) {
    for (size_t i = 0; i < kMaxProcessors; i++) {
      if (CPU_ISSET_S(i, bytes, set)) processors.push_back(static_cast<int>(i));
    }
  }
  CPU_FREE(set);
  return processors;
}

int usable_processor_count() { return std::max(1, static_cast<int>(usable_processors().size())); }

// Pinning is a wish: a sandbox that forbids it costs speed, not results.
void pin_to(std::thread& thread, int processor) {
  cpu_set_t* set = CPU_ALLOC(kMaxProcessors);
  const size_t bytes = CPU_ALLOC_SIZE(kMaxProcessors);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(static_cast<size_t>(processor), bytes, set);
  (void)::pthread_setaffinity_np(thread.native_handle(), bytes, set);
  CPU_FREE(set);
}

// The processors that one cpu.max file ("max 100000", "150000 100000") grants, rounded up; kMaxThreads for no limit.
int quota_of(const std::string& folder) {
  const auto text = read_text_file(folder + "/cpu.max", 4096);
  long long quota = 0;
  long long period = 0;
  if (!text || std::sscanf(text->c_str(), "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0) {
    return kMaxThreads;
  }
  return static_cast<int>(std::clamp((quota + period - 1) / period, 1LL, static_cast<long long>(kMaxThreads)));
}

// A limit on any group above this process's own holds as well.
int cgroup_quota() {
  const auto text = read_text_file("/proc/self/cgroup", 65536);
  if (!text) return kMaxThreads;
  const size_t start = text->find("0::/");
  if (start == std::string::npos) return kMaxThreads;
  std::string group = text->substr(start + 3, text->find('\n', start) - start - 3);
  int quota = kMaxThreads;
  while (true) {
    quota = std::min(quota, quota_of("/sys/fs/cgroup" + group));
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos || group.empty()) return quota;
    group.resize(slash);
  }
}

}  // namespace

int default_thread_count() {
  if (const char* text = std::getenv("HOTARU_THREADS"); text != nullptr) {
    char* end = nullptr;
    const long count = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && count >= 1 && count <= kMaxThreads) return static_cast<int>(count);
  }
  return std::min({usable_processor_count(), cgroup_quota(), kMaxThreads});
}

Barrier::Barrier(int count) : count_(count), may_spin_(count <= usable_processor_count()) {}

void Barrier::wait() {
  const int generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < count_) {
    wait_while_equal(generation_, generation, may_spin_);
    return;
  }
  arrived_.store(0, std::memory_order_relaxed);
  publish(generation_, generation + 1);
}

ThreadPool::ThreadPool(int thread_count)
    : size_(thread_count > 0 ? thread_count : default_thread_count()),
      barrier_(size_),
      may_spin_(size_ <= usable_processor_count()) {
  CHECK_LE(size_, kMaxThreads);
  const std::vector<int> processors = usable_processors();
  workers_.reserve(static_cast<size_t>(size_ - 1));
  for (int i = 1; i < size_; i++) {
    workers_.emplace_back([this, i] { work(i); });
    // The caller's thread is not ours to pin; the first processor is left to it.
    if (may_spin_ && !processors.empty()) pin_to(workers_.back(), processors[static_cast<size_t>(i)]);
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  publish(job_number_, job_number_.load(std::memory_order_relaxed) + 1);
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const std::function<void(Slice)>& job) {
  if (size_ == 1) {
    job(Slice{0, 1});
    return;
  }
  job_ = &job;
  running_.store(size_ - 1, std::memory_order_relaxed);
  publish(job_number_, job_number_.load(std::memory_order_relaxed) + 1);
  job(Slice{0, size_});
  for (int left = running_.load(std::memory_order_acquire); left != 0;
       left = running_.load(std::memory_order_acquire)) {
    wait_while_equal(running_, left, may_spin_);
  }
}

void ThreadPool::work(int index) {
  for (unsigned seen = 0;; seen++) {
    wait_while_equal(job_number_, seen, may_spin_);
    if (stop_.load(std::memory_order_relaxed)) return;
    (*job_)(Slice{index, size_});
    if (running_.fetch_sub(1) == 1) running_.notify_all();
  }
}

}  // namespace hotaru
