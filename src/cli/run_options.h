// The flags of `hotaru run`.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/run_settings.h"

namespace hotaru::cli {

struct RunOptions {
  GlobalOptions global;
  std::string hef_path;
  std::optional<std::string> prompt;
  std::vector<int32_t> prompt_ids;
  bool raw = false;
  uint64_t memory_bytes = 0;
  RunSettings settings;
  std::string load_context, save_context;  // files; "": none
  bool resumes = false;
};

// Wrong values end with exit code 2 and name the flag.
void add_run_options(CLI::App& command, RunOptions& options);

}  // namespace hotaru::cli
