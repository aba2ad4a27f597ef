// Speed of a device with a HEF in it: time to first token, time per token at a depth, several contexts together.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "device/limits.h"

namespace hotaru {

struct BenchOptions {
  std::vector<int> prompts = {96, 512, 2048};  // tokens
  std::vector<int> depths = {0, 2000};         // tokens of context before the decoded ones
  std::vector<int> contexts = {1, 4};          // decoding together
  int repeat = 5;
  int decode_steps = 32;  // per depth and repetition
};

// One kind of work that was measured, and what its kernel calls did in the first repetition.
struct BenchPhase {
  std::string name;      // "first token after 96", "token at depth 2000"
  int tokens = 1;        // of one sample: the prompt's, or one for each context
  int samples = 0;       // that `calls` is the sum of
  double ms = 0;         // of one sample, the median of all repetitions
  MachineLimits limits;  // the medians of what was measured before and after each repetition
  std::vector<CallProfile> calls;
};

// Medians over the repetitions.
struct BenchReport {
  std::vector<BenchPhase> phases;                     // all of them
  std::map<int, double> ttft_ms;                      // by prompt length
  std::map<int, double> decode_ms;                    // per token, by depth
  std::map<int, double> aggregate_tokens_per_second;  // by number of contexts
  MachineLimits limits;                               // of the whole run
};

// Lengths that do not fit the device's context are left out; `on_step(done, total)` reports progress.
Result<BenchReport> run_bench(Device& device, const BenchOptions& options,
                              const std::function<void(int, int)>& on_step);

}  // namespace hotaru
