// Adapters in a HAR: added, each in a section of its own, and taken out again. The other sections keep every byte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/calibration_set.h"

namespace hotaru {

struct AddAdapterOptions {
  std::string name;  // "": the directory's
  CalibrationOptions calibration;
  bool transports = true;  // false: the test that shows why it must
};

struct AddedAdapter {
  std::string name;
  int64_t rank = 0;
  std::vector<std::string> targets;
  size_t linears = 0;
  uint64_t bytes = 0;
  double lowest_sqnr_db = 0;  // of the codes between A and B
  std::string calibration;
  std::vector<std::string> warnings;
};

// Quantises the PEFT adapter in `directory` against the HAR and writes the HAR with it; `output` may be `har_path`. The
// same HAR, adapter, options and text give the same bytes.
struct AdapterPaths {
  std::string har;
  std::string directory;
  std::string output;
};
Result<AddedAdapter> add_adapter(const AdapterPaths& paths, const AddAdapterOptions& options, ThreadPool& pool);

// Taking out the last adapter gives the bytes from before it came.
Result<void> remove_adapter(const std::string& har_path, const std::string& name, const std::string& output,
                            ThreadPool& pool);

}  // namespace hotaru
