// A pass: one step of the optimiser over the whole model. The list of them is in pipeline.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/calibration_set.h"
#include "compiler/channel_statistics.h"
#include "compiler/optimise_report.h"
#include "compiler/optimised_model.h"
#include "compiler/tensor_section.h"
#include "compiler/weights.h"
#include "graph/graph.h"

namespace hotaru {

// What a pass does to the model's float output.
enum class Effect {
  kNothing,     // it only looks
  kEquivalent,  // unchanged to 1e-4 relative
  kLossy,       // changed; the report says by how much
  kExact,       // the same bits
};
std::string_view effect_name(Effect effect);

// What passes read and change.
struct PassContext {
  Graph* graph = nullptr;
  const ParameterSource* parameters = nullptr;  // of *graph, with the rewrites so far
  const CalibrationSet* calibration = nullptr;
  std::unique_ptr<CalibrationSet> behind_prefix;  // made by choose-prefix, `calibration` points to it then
  ThreadPool* pool = nullptr;
  TensorSection* tensors = nullptr;  // of the HAR
  int group = 32;
  std::string folder = ".";  // for calibration rows that do not fit memory
  struct Resume {
    std::string folder;  // where finished layers are kept; empty: nowhere
    std::string key;     // what they belong to
    bool goes_on = false;
  };
  Resume resume;
  std::vector<std::string> skip;  // by the user's wish
  OptimiseReport* report = nullptr;

  // What the running pass wants said in the report.
  std::string note;
  // Made by observe, by ValueId; passes that scale or permute channels keep it true.
  std::vector<ChannelStatistics> observed;
  // Made by calibrate. By ValueId, empty where not observed: mean square of each channel of a linear's input.
  std::vector<std::vector<float>> channel_power;
  // Made by the quantising passes, by ParameterId.
  std::vector<StoredParameter> stored;
};

// Did the user leave out this pass, or this part of a pass?
bool is_skipped(const PassContext& context, std::string_view name);

// An error unless observe has run.
Result<void> want_observed(const PassContext& context);

using PassFunction = Result<void> (*)(PassContext& context);

struct Pass {
  std::string_view name;
  Effect effect;
  PassFunction run;
  std::span<const std::string_view> parts = {};  // what of it can be left out by itself
};

}  // namespace hotaru
