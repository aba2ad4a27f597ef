#include "eval/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>

#include "base/file.h"
#include "base/thread_pool.h"
#include "kernels/kernel_set.h"
#include "kernels/peak/peak.h"

namespace hotaru {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRepeat = 5;
constexpr size_t kLineBytes = 64;
constexpr size_t kLineWords = kLineBytes / sizeof(uint64_t);
constexpr size_t kPrefetchBytes = 4096;
constexpr uint64_t kPeakRounds = 20'000;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Reads two streams of whole lines side by side, as the kernels do, asking for lines before they are due.
uint64_t sum_of_lines(const uint64_t* first, const uint64_t* second, size_t lines) {
  uint64_t sums[2 * kLineWords] = {};
  for (size_t line = 0; line < lines; line++) {
    __builtin_prefetch(first + line * kLineWords + kPrefetchBytes / sizeof(uint64_t), 0, 2);
    __builtin_prefetch(second + line * kLineWords + kPrefetchBytes / sizeof(uint64_t), 0, 2);
    for (size_t i = 0; i < kLineWords; i++) {
      sums[i] += first[line * kLineWords + i];
      sums[kLineWords + i] += second[line * kLineWords + i];
    }
  }
  return std::accumulate(std::begin(sums), std::end(sums), uint64_t{0});
}

double read_bandwidth(std::span<const std::byte> bytes, ThreadPool& pool) {
  std::atomic<uint64_t> sink{0};  // so that the sums are wanted
  const auto* words = reinterpret_cast<const uint64_t*>(bytes.data());
  double best = 0;
  for (int i = 0; i < kRepeat; i++) {
    const auto start = Clock::now();
    pool.run([&](Slice slice) {
      const auto [begin, end] = slice.range(bytes.size() / kLineBytes);
      const size_t half = (end - begin) / 2;
      sink += sum_of_lines(words + begin * kLineWords, words + (begin + half) * kLineWords, half);
    });
    best = std::max(best, static_cast<double>(bytes.size()) / seconds_since(start));
  }
  return best;
}

double multiply_add_peak(Isa isa, ThreadPool& pool) {
  double best = 0;
  for (int i = 0; i < kRepeat; i++) {
    std::atomic<uint64_t> done{0};
    const auto start = Clock::now();
    pool.run([&](Slice) {
      prepare_thread(isa);
      done += peak_multiply_adds(isa, kPeakRounds);
      release_thread(isa);
    });
    best = std::max(best, static_cast<double>(done.load()) / seconds_since(start));
  }
  return best;
}

}  // namespace

MachineLimits measure_limits(std::span<const std::byte> bytes, Isa isa, int threads) {
  ThreadPool pool(threads);
  return {read_bandwidth(bytes, pool), multiply_add_peak(isa, pool)};
}

std::string processor_name() {
  constexpr size_t kMostBytes = size_t{1} << 20;
  const auto text = read_text_file("/proc/cpuinfo", kMostBytes);
  if (!text) return "unknown";
  const size_t key = text->find("model name");
  const size_t colon = text->find(": ", key);
  if (key == std::string::npos || colon == std::string::npos) return "unknown";
  return text->substr(colon + 2, text->find('\n', colon) - colon - 2);
}

}  // namespace hotaru
