#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/file.h"

namespace hotaru {
namespace {

// Longer than a token's steps are apart; and longer than its tokens are (sampling, text, a client), where nobody else
// wants the processor.
constexpr auto kSpinTime = std::chrono::microseconds(50);
constexpr auto kLongSpinTime = std::chrono::milliseconds(1);
constexpr size_t kMaxProcessors = 8192;
constexpr int kMaxThreads = 1024;

inline void relax_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until the word is no longer `old`, or the time is over: then false.
bool differs_before(const std::atomic<uint64_t>& word, uint64_t old, std::chrono::steady_clock::time_point end) {
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 32; i++) {
      relax_processor();
      if (word.load(std::memory_order_relaxed) != old) return true;
    }
  }
  return false;
}

// Whether the system took the processor from this thread since it last asked: then others want it, and spinning is at
// their and, soon, our own cost. (Giving way by sched_yield was worse: it comes back a whole time slice later.)
bool was_preempted() {
  thread_local long known = 0;
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return std::exchange(known, usage.ru_nivcsw) != usage.ru_nivcsw;
}

// The board is one word, so that taking a part is one compare-and-swap: the parts of a step, how many of them are
// taken, the step, and (so that no two steps ever look the same) a running number. Nothing to do: 0 parts.
struct Board {
  uint64_t number = 0, taken = 0, parts = 0;  // 40, 12 and 12 bits
};
constexpr uint64_t kPartBits = 12;
constexpr uint64_t kPartMask = (uint64_t{1} << kPartBits) - 1;
constexpr uint64_t kOneTaken = uint64_t{1} << kPartBits;

constexpr Board board_of(uint64_t word) {
  return {word >> (2 * kPartBits), (word >> kPartBits) & kPartMask, word & kPartMask};
}
constexpr uint64_t word_of(const Board& board) {
  return board.number << (2 * kPartBits) | board.taken << kPartBits | board.parts;
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

ThreadPool::ThreadPool(int thread_count)
    : size_(thread_count > 0 ? thread_count : default_thread_count()), may_spin_(size_ <= usable_processor_count()) {
  CHECK_LE(size_, kMaxThreads);
  single_step_.begin = [this](size_t) { return size_; };
  single_step_.play = [this](size_t, Slice part, int) { (*slices_)(part); };
  const std::vector<int> processors = usable_processors();
  workers_.reserve(static_cast<size_t>(size_ - 1));
  for (int i = 1; i < size_; i++) {
    workers_.emplace_back([this, i] { work(i); });
    // The caller's thread is not ours to pin; the first processor is left to it.
    if (may_spin_ && !processors.empty()) pin_to(workers_.back(), processors[static_cast<size_t>(i)]);
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  bell_.fetch_add(1);
  bell_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const std::function<void(Slice)>& job) {
  slices_ = &job;
  run(single_step_);
}

void ThreadPool::run(const SteppedJob& job) {
  if (size_ == 1) {
    for (size_t step = 0; step < job.steps; step++) {
      if (job.begin(step) > 0) job.play(step, Slice{0, 1}, 0);
    }
    return;
  }
  job_ = &job;
  post(job, 0);
  for (uint64_t word = board_.load(); board_of(word).parts > 0; word = board_.load()) {
    if (!take_part(0)) wait_for_other_than(word);
  }
}

// Puts the first step from `step` on that has parts on the board, or that nothing is left. After that the job may be
// gone.
void ThreadPool::post(const SteppedJob& job, size_t step) {
  int parts = 0;
  for (; step < job.steps; step++) {
    parts = job.begin(step);
    if (parts > 0) break;
  }
  CHECK_LE(parts, kMaxParts);
  step_ = step;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t number = board_of(board_.load(std::memory_order_relaxed)).number + 1;
  // Sequentially consistent, as in wait_for_other_than: either the board is seen there, or the sleeper here.
  board_.store(word_of({number, 0, static_cast<uint64_t>(parts)}));
  if (parts == 1 || !someone_sleeps_.load()) return;  // one part is for who posts it
  someone_sleeps_.store(false);
  bell_.fetch_add(1);
  bell_.notify_all();
}

// Plays one part of what is on the board; false if all are taken.
bool ThreadPool::take_part(int thread) {
  uint64_t word = board_.load();
  do {
    const Board board = board_of(word);
    if (board.taken == board.parts) return false;
  } while (!board_.compare_exchange_weak(word, word + kOneTaken));
  // The part is ours: until it is done, the job and its step stay.
  const Board board = board_of(word);
  const SteppedJob& job = *job_;
  const size_t step = step_;
  job.play(step, Slice{static_cast<int>(board.taken), static_cast<int>(board.parts)}, thread);
  if (done_.fetch_add(1) + 1 == static_cast<int>(board.parts)) post(job, step + 1);
  return true;
}

void ThreadPool::wait_for_other_than(uint64_t board) {
  if (may_spin_) {
    const auto start = std::chrono::steady_clock::now();
    if (differs_before(board_, board, start + kSpinTime)) return;
    if (!was_preempted() && differs_before(board_, board, start + kLongSpinTime)) return;
  }
  const int bell = bell_.load();
  someone_sleeps_.store(true);
  if (board_.load() == board && !stop_.load()) bell_.wait(bell);
}

void ThreadPool::work(int index) {
  while (!stop_.load(std::memory_order_relaxed)) {
    const uint64_t board = board_.load();
    if (!take_part(index)) wait_for_other_than(board);
  }
}

}  // namespace hotaru
