// hotaru bench --context-costs TOKENS: what eval/context_costs.h measures, as JSON or as lines for people.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "device/device.h"

namespace hotaru::cli {

struct ContextBench {
  std::string hef_path;
  int tokens = 0;
  bool json = false;
};
Result<void> bench_contexts(const ContextBench& bench, DeviceOptions device);

}  // namespace hotaru::cli
