// Commands of the contract (CLI) that are not built yet: they exist, and say so.
#include "cli/command.h"

namespace hotaru::cli {

void add_later(CLI::App& app) {
  struct Later {
    const char* name;
    const char* help;
  };
  for (const Later& later : {Later{"predict", "The device model (not supported yet)"}}) {
    CLI::App* command = app.add_subcommand(later.name, later.help);
    command->allow_extras();
    const std::string name = later.name;
    set_action(*command,
               [name]() -> Result<void> { return not_supported("'{}' is not supported yet in this version", name); });
  }
}

}  // namespace hotaru::cli
