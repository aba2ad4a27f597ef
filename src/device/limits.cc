#include "device/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <numeric>

#include "base/file.h"
#include "kernels/kernel_set.h"
#include "kernels/peak/peak.h"

namespace hotaru {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kReadTime = std::chrono::milliseconds(20);
constexpr auto kPeakTime = std::chrono::milliseconds(10);
constexpr size_t kLineBytes = 64;
constexpr size_t kLineWords = kLineBytes / sizeof(uint64_t);
constexpr size_t kPrefetchBytes = 4096;
constexpr uint64_t kPeakRounds = 20'000;

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

// How much `work`, which returns what it has done, does in a second: it is played until `least` is over.
double speed_of(std::chrono::duration<double> least, const std::function<double()>& work) {
  double done = 0;
  const auto start = Clock::now();
  std::chrono::duration<double> taken{0};
  do {
    done += work();
    taken = Clock::now() - start;
  } while (taken < least);
  return done / taken.count();
}

double read_bytes(std::span<const std::byte> bytes, ThreadPool& pool) {
  std::atomic<uint64_t> sink{0};  // so that the sums are wanted
  const auto* words = reinterpret_cast<const uint64_t*>(bytes.data());
  pool.run([&](Slice slice) {
    const auto [begin, end] = slice.range(bytes.size() / kLineBytes);
    const size_t half = (end - begin) / 2;
    sink += sum_of_lines(words + begin * kLineWords, words + (begin + half) * kLineWords, half);
  });
  return static_cast<double>(bytes.size());
}

double multiply_adds(Isa isa, ThreadPool& pool) {
  std::atomic<uint64_t> done{0};
  pool.run([&](Slice) {
    prepare_thread(isa);
    done += peak_multiply_adds(isa, kPeakRounds);
    release_thread(isa);
  });
  return static_cast<double>(done.load());
}

}  // namespace

MachineLimits measure_limits(std::span<const std::byte> bytes, Isa isa, ThreadPool& pool) {
  return {speed_of(kReadTime, [&] { return read_bytes(bytes, pool); }),
          speed_of(kPeakTime, [&] { return multiply_adds(isa, pool); })};
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
