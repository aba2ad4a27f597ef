// hotaru compile FILE.har: programs, packed weights and the memory plan; leaves a HEF.
#include "compiler/compile.h"

#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/json.h"
#include "base/log.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/memory_table.h"

namespace hotaru::cli {
namespace {

struct CompileCommand {
  GlobalOptions global;
  CompileOptions options;
  std::string input;
  std::string output;
};

Result<void> compile(CompileCommand& command) {
  if (command.global.quiet) set_verbosity(Verbosity::kQuiet);
  if (command.output.empty()) {
    command.output = std::filesystem::path(command.input).filename().replace_extension(".hef").string();
  }
  ThreadPool pool(command.global.threads);
  TRY_ASSIGN(const fb::MemoryPlanT memory, compile_har(command.input, command.output, command.options, pool));
  const uint64_t bytes = std::filesystem::file_size(command.output);
  if (command.global.json) {
    const Json json = {{"output", command.output}, {"bytes", bytes}, {"memory", memory_json(memory)}};
    std::printf("%s\n", json.dump().c_str());
    return {};
  }
  std::printf("%s: %s\n%s", command.output.c_str(), size_text(bytes).c_str(), memory_table(memory).c_str());
  return {};
}

}  // namespace

void add_compile(CLI::App& app) {
  auto command = std::make_shared<CompileCommand>();
  CLI::App* sub = app.add_subcommand("compile", "Compile a HAR into a HEF");
  sub->footer("Example: hotaru compile demo.har -o demo.hef --context 2048");
  sub->add_option("HAR", command->input, "The HAR")->required();
  sub->add_option("-o,--output", command->output, "The HEF (default: NAME.hef in this folder)");
  sub->add_option("--context", command->options.context_tokens,
                  "Tokens that the KV cache is planned for (default: 2048, or the model's positions if fewer)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  add_global_options(*sub, command->global);
  set_action(*sub, [command] { return compile(*command); });
}

}  // namespace hotaru::cli
