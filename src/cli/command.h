// One file per command: it describes its options to CLI11 and runs. main.cc only lists them.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"
#include "tensor/isa.h"

namespace hotaru::cli {

// Options that every command has.
struct GlobalOptions {
  int threads = 0;     // 0: HOTARU_THREADS or all this process may use
  std::string isa;     // "": HOTARU_ISA or the best
  bool json = false;   // exactly one JSON object on stdout
  bool quiet = false;  // no progress on stderr
};

// What a command leaves behind: run when chosen; its error becomes "hotaru: <message>" and exit code 1.
using Action = std::function<Result<void>()>;

// Adds --threads, --isa, --json, --quiet to a command and binds them to `options`.
void add_global_options(CLI::App& command, GlobalOptions& options);
// Registers what to do when `command` was chosen on the command line.
void set_action(CLI::App& command, Action action);
// Runs the action of the sub-command that the parsed line chose.
Result<void> run_chosen(const CLI::App& app);

void add_optimize(CLI::App& app);
void add_compile(CLI::App& app);
void add_lora(CLI::App& app);
void add_inspect(CLI::App& app);
void add_run(CLI::App& app);
void add_eval(CLI::App& app);
void add_bench(CLI::App& app);
void add_models(CLI::App& app);  // list, show, rm, cp
void add_ps(CLI::App& app);
void add_pull(CLI::App& app);
void add_serve(CLI::App& app);
void add_later(CLI::App& app);  // commands that only say "not supported yet"
void add_completion(CLI::App& app);

}  // namespace hotaru::cli
