// hotaru lora add|list|remove: adapters in a HAR.
#include "compiler/lora.h"

#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/log.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/inspection.h"

namespace hotaru::cli {
namespace {

struct LoraCommand {
  GlobalOptions global;
  AddAdapterOptions options;
  std::string har;
  std::string directory;
  std::string name;
  std::string output;
};

// Few tokens are enough: one range a linear is measured.
constexpr int64_t kDefaultSamples = 16;

Result<void> add(const LoraCommand& command) {
  if (command.global.quiet) set_verbosity(Verbosity::kQuiet);
  ThreadPool pool(command.global.threads);
  const AdapterPaths paths{command.har, command.directory, command.output.empty() ? command.har : command.output};
  TRY_ASSIGN(const AddedAdapter added, add_adapter(paths, command.options, pool));
  for (const std::string& warning : added.warnings) log_warning(warning);
  if (command.global.json) {
    const Json json = {{"name", added.name},
                       {"rank", added.rank},
                       {"targets", added.targets},
                       {"linears", added.linears},
                       {"bytes", added.bytes},
                       {"lowest_sqnr_db", added.lowest_sqnr_db},
                       {"calibration", added.calibration},
                       {"output", paths.output}};
    std::printf("%s\n", json.dump().c_str());
    return {};
  }
  std::printf("%s: adapter '%s', rank %lld, %zu linears, %s; lowest SQNR between its matrices %.1f dB\n",
              paths.output.c_str(), added.name.c_str(), static_cast<long long>(added.rank), added.linears,
              size_text(added.bytes).c_str(), added.lowest_sqnr_db);
  std::printf("calibrated on %s\n", added.calibration.c_str());
  return {};
}

Result<void> list(const LoraCommand& command) {
  ThreadPool pool(command.global.threads);
  TRY_ASSIGN(const Inspection found, inspect_path(command.har, pool));
  if (found.checkpoint) return invalid("{}: want a HAR or a HEF", command.har);
  const Json& adapters = found.summary["adapters"];
  if (command.global.json) {
    std::printf("%s\n", Json{{"adapters", adapters}}.dump().c_str());
    return {};
  }
  for (const Json& adapter : adapters) {
    std::string targets;
    for (const Json& target : adapter["targets"]) targets += " " + target.get<std::string>();
    std::printf("%-24s rank %-5lld %-12s%s\n", adapter["name"].get<std::string>().c_str(),
                static_cast<long long>(adapter["rank"].get<int64_t>()),
                size_text(adapter["bytes"].get<uint64_t>()).c_str(), targets.c_str());
  }
  return {};
}

Result<void> remove(const LoraCommand& command) {
  ThreadPool pool(command.global.threads);
  const std::string output = command.output.empty() ? command.har : command.output;
  TRY(remove_adapter(command.har, command.name, output, pool));
  if (command.global.json) {
    std::printf("%s\n", Json{{"removed", command.name}, {"output", output}}.dump().c_str());
  } else {
    std::printf("%s: without adapter '%s'\n", output.c_str(), command.name.c_str());
  }
  return {};
}

CLI::App* add_subcommand(CLI::App& lora, const char* name, const char* help, LoraCommand& command) {
  CLI::App* sub = lora.add_subcommand(name, help);
  sub->add_option("FILE", command.har, "The HAR")->required();
  add_global_options(*sub, command.global);
  return sub;
}

}  // namespace

void add_lora(CLI::App& app) {
  CLI::App* lora = app.add_subcommand("lora", "Add, list and remove LoRA adapters of a HAR");
  lora->require_subcommand(1);
  lora->footer(
      "Example: hotaru lora add demo.har adapters/holmes && hotaru compile demo.har\n"
      "         hotaru run demo.hef --lora holmes");

  auto adding = std::make_shared<LoraCommand>();
  adding->options.calibration.samples = kDefaultSamples;
  CLI::App* sub = add_subcommand(*lora, "add", "Quantise a PEFT adapter against a HAR and put it in", *adding);
  CalibrationOptions& calibration = adding->options.calibration;
  sub->add_option("DIR", adding->directory, "adapter_config.json and adapter_model.safetensors")->required();
  sub->add_option("--name", adding->options.name, "The adapter's name (default: the directory's)");
  sub->add_option("-o,--output", adding->output, "The HAR with it (default: FILE itself)");
  sub->add_option("--calibration", calibration.files,
                  "Text (.txt, .jsonl) to measure ranges on (repeatable; default: a text shipped with hotaru)");
  sub->add_option("--samples", calibration.samples, "Segments of calibration text at most (default 16)")
      ->check(CLI::PositiveNumber);
  set_action(*sub, [adding] { return add(*adding); });

  auto listing = std::make_shared<LoraCommand>();
  sub = add_subcommand(*lora, "list", "Adapters of a HAR or HEF", *listing);
  set_action(*sub, [listing] { return list(*listing); });

  auto removing = std::make_shared<LoraCommand>();
  sub = add_subcommand(*lora, "remove", "Take an adapter out of a HAR", *removing);
  sub->add_option("NAME", removing->name, "The adapter")->required();
  sub->add_option("-o,--output", removing->output, "The HAR without it (default: FILE itself)");
  set_action(*sub, [removing] { return remove(*removing); });
}

}  // namespace hotaru::cli
