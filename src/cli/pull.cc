// hotaru pull NAME: a model from a registry into the store; no server is needed.
#include <cstdio>
#include <memory>
#include <optional>

#include "base/log.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "server/store/pull.h"

namespace hotaru::cli {
namespace {

struct PullCommand {
  GlobalOptions global;
  std::string folder, registry, name;
};

// Bytes as a bar, everything else as lines.
class PullProgress {
 public:
  void show(const server::PullStatus& status) {
    if (status.digest.empty()) {
      if (bar_) bar_->finish();
      bar_.reset();
      log_info(status.status);
      return;
    }
    if (!bar_) bar_.emplace(status.status, status.total >> 10, "KiB");
    const uint64_t done = status.completed >> 10;
    if (done > shown_) bar_->advance(done - shown_);  // less: the registry sends all again
    shown_ = done;
  }

 private:
  std::optional<Progress> bar_;
  uint64_t shown_ = 0;
};

Result<void> pull(const PullCommand& command) {
  if (command.global.quiet) set_verbosity(Verbosity::kQuiet);
  const std::string folder = command.folder.empty() ? server::ModelStore::default_folder() : command.folder;
  TRY_ASSIGN(server::ModelStore store, server::ModelStore::open(folder));
  const InterruptScope interrupt;
  PullProgress progress;
  server::PullOptions options;
  options.registry = command.registry.empty() ? server::registry_from_environment() : command.registry;
  options.on_status = [&progress](const server::PullStatus& status) { progress.show(status); };
  options.is_cancelled = [] { return InterruptScope::interrupted(); };
  TRY(server::pull_model(store, command.name, options));
  if (!command.global.json) return {};
  TRY_ASSIGN(const server::StoredModel model, store.find(command.name));
  const Json json = {
      {"name", model.name.text()}, {"digest", model.digest}, {"size", model.bytes}, {"path", model.hef_path}};
  std::printf("%s\n", json.dump().c_str());
  return {};
}

}  // namespace

void add_pull(CLI::App& app) {
  auto command = std::make_shared<PullCommand>();
  CLI::App* sub = app.add_subcommand("pull", "Fetch a model from a registry into the store");
  sub->footer("Example: HOTARU_REGISTRY=https://models.example.org hotaru pull qwen2:1.5b");
  sub->add_option("MODEL", command->name, "NAME or NAME:TAG")->required();
  sub->add_option("--registry", command->registry, "Address of the registry (default: HOTARU_REGISTRY)");
  sub->add_option("--models", command->folder, "Folder of the models (default: HOTARU_MODELS or ~/.hotaru/models)");
  add_global_options(*sub, command->global);
  set_action(*sub, [command] { return pull(*command); });
}

}  // namespace hotaru::cli
