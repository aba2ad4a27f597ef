// hotaru inspect FILE: what is in a checkpoint, a HAR, a HEF or a context file.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/inspection.h"
#include "cli/memory_table.h"
#include "compiler/print_program.h"

namespace hotaru::cli {
namespace {

struct InspectCommand {
  GlobalOptions global;
  std::string path;
  std::string program;
  bool memory = false;
  bool tensors = false;
  bool verify = false;
};

Result<void> print_memory(const Inspection& found) {
  if (!found.hef) return invalid("--memory: only a HEF has a memory plan");
  fb::MemoryPlanT memory;
  found.hef->meta().memory()->UnPackTo(&memory);
  std::printf("%s", memory_table(memory).c_str());
  return {};
}

Result<void> print_listing(const Inspection& found, const std::string& name) {
  if (!found.hef) return invalid("--program: only a HEF has programs");
  const fb::Program* program = found.hef->find_program(name);
  if (program != nullptr) {
    std::printf("%s", print_program(*found.hef, *program).c_str());
    return {};
  }
  std::string names;
  for (const fb::Program* other : *found.hef->meta().programs()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", other->name()->string_view());
  }
  return make_error(ErrorKind::kNotFound, "--program: there is no '{}'; there are: {}", name, names);
}

Result<void> inspect(const InspectCommand& command) {
  ThreadPool pool(command.global.threads);
  TRY_ASSIGN(const Inspection found, inspect_path(command.path, pool));
  if (command.global.json) {
    Json json = found.summary;
    if (command.tensors) json["tensors"] = tensors_json(found);
    std::printf("%s\n", json.dump().c_str());
    return {};
  }
  if (command.memory) return print_memory(found);
  if (!command.program.empty()) return print_listing(found, command.program);
  if (command.tensors) {
    for (const Json& tensor : tensors_json(found)) {
      std::printf("%-40s %-6s %-16s %s\n", tensor["name"].get<std::string>().c_str(),
                  tensor["type"].get<std::string>().c_str(), tensor["shape"].dump().c_str(),
                  size_text(tensor["bytes"].get<uint64_t>()).c_str());
    }
    return {};
  }
  std::printf("%s", summary_text(found).c_str());
  // Opening verified them; a file with a wrong one does not come this far.
  if (command.verify) std::printf("checksums: %zu, all right\n", found.checksums);
  return {};
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App* sub = app.add_subcommand("inspect", "What is in a checkpoint, HAR, HEF or context file");
  sub->footer("Example: hotaru inspect demo.hef --program tbt");
  sub->add_option("FILE", command->path, "Checkpoint directory, HAR, HEF or context file")->required();
  sub->add_flag("--memory", command->memory, "The memory plan as a table");
  sub->add_option("--program", command->program, "A program as text: prefill, tbt or head");
  sub->add_flag("--tensors", command->tensors, "All tensors: type, shape, bytes");
  sub->add_flag("--verify", command->verify, "Say that every checksum was verified");
  add_global_options(*sub, command->global);
  set_action(*sub, [command] { return inspect(*command); });
}

}  // namespace hotaru::cli
