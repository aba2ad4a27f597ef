// Speed of a device with a HEF in it: time to first token, time per token at a depth, several contexts together.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace hotaru {

struct BenchOptions {
  std::vector<int> prompts = {96, 512, 2048};  // tokens
  std::vector<int> depths = {0, 2000};         // tokens of context before the decoded ones
  std::vector<int> contexts = {1, 4};          // decoding together
  int repeat = 5;
  int decode_steps = 32;  // per depth and repetition
};

// Medians over the repetitions.
struct BenchReport {
  std::map<int, double> ttft_ms;                      // by prompt length
  std::map<int, double> decode_ms;                    // per token, by depth
  std::map<int, double> aggregate_tokens_per_second;  // by number of contexts
};

// Lengths that do not fit the device's context are left out; `on_step(done, total)` reports progress.
Result<BenchReport> run_bench(Device& device, const BenchOptions& options,
                              const std::function<void(int, int)>& on_step);

// Bytes per second that `threads` threads read from `bytes`, best of `repeat`: the limit that decoding runs against.
double read_bandwidth(std::span<const std::byte> bytes, int threads, int repeat);

}  // namespace hotaru
