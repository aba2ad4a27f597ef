// The optimiser: a checkpoint becomes a HAR by a visible list of passes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/calibration_set.h"
#include "compiler/pass.h"

namespace hotaru {

struct OptimiseOptions {
  CalibrationOptions calibration;
  std::string recipe = "rtn";
  int group = 32;  // inputs that share a multiplier: 32, 64 or 128
  std::vector<std::string> skip;
  std::string stop_after;
  struct Dump {
    std::string pass;
    std::string file;  // the graph's text after the pass
  };
  std::vector<Dump> dumps;
  bool resume = false;                    // go on behind the last layer that a killed run finished
  std::vector<std::string> report_files;  // .json, .txt or .html
  std::string producer;                   // "hotaru 0.1.0", for the HAR
};

// All passes of a recipe, in order.
Result<std::span<const Pass>> passes_of(std::string_view recipe);

// What leaves the float model as it is and makes it easier to round.
std::span<const Pass> exact_rewrites();

// Runs the passes on a context, each timed and its graph verified. Returns false if it stopped before the last one.
Result<bool> run_passes(std::span<const Pass> passes, const OptimiseOptions& options, PassContext& context);

struct OptimiseResult {
  bool wrote_har = false;  // false: stopped after an earlier pass
  OptimiseReport report;
};

// checkpoint directory -> HAR. The same checkpoint, options and text give the same bytes, whatever the thread count.
Result<OptimiseResult> optimise(const std::string& checkpoint_directory, const std::string& har_path,
                                const OptimiseOptions& options, ThreadPool& pool);

}  // namespace hotaru
