#include "cli/command.h"

#include <map>
#include <utility>

namespace hotaru::cli {
namespace {
// CLI11 runs callbacks while it parses; ours run afterwards, so that every option of the line has been seen.
std::map<const CLI::App*, Action>& actions() {
  static std::map<const CLI::App*, Action> table;
  return table;
}
}  // namespace

void add_global_options(CLI::App& command, GlobalOptions& options) {
  command
      .add_option("--threads", options.threads,
                  "Threads (default: HOTARU_THREADS, or the processors this process may use)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--isa", options.isa,
                     "Instruction set: ref, avx2, avx_vnni, avx512_vnni, amx, neon (default: the best here)");
  command.add_flag("--json", options.json, "Print exactly one JSON object on stdout");
  command.add_flag("-q,--quiet", options.quiet, "No progress on stderr");
}

void set_action(CLI::App& command, Action action) { actions()[&command] = std::move(action); }

Result<void> run_chosen(const CLI::App& app) {
  const CLI::App* chosen = &app;
  while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands().front();
  const auto found = actions().find(chosen);
  if (found == actions().end()) return invalid("'{}' needs a sub-command; see --help", chosen->get_name());
  return found->second();
}

}  // namespace hotaru::cli
