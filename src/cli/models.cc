// hotaru list, show, rm, cp: the store's folder, with Ollama's words; no server is needed.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/log.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "server/store/hef_details.h"
#include "server/store/model_store.h"

namespace hotaru::cli {
namespace {

using server::ModelStore;
using server::StoredModel;

constexpr size_t kShownDigits = 12;  // of a digest, as Ollama shows it

struct ModelsCommand {
  GlobalOptions global;
  std::string folder;
  std::string name, target;
  std::vector<std::string> names;
  bool shows_modelfile = false, shows_parameters = false, shows_template = false, shows_system = false;
};

Result<ModelStore> open_store(const ModelsCommand& command) {
  return ModelStore::open(command.folder.empty() ? ModelStore::default_folder() : command.folder);
}

Result<void> print_list(const ModelsCommand& command) {
  TRY_ASSIGN(const ModelStore store, open_store(command));
  TRY_ASSIGN(const std::vector<StoredModel> models, store.list());
  Json list = Json::array();
  Table table({"NAME", "ID", "SIZE", "MODIFIED"});
  for (const StoredModel& model : models) {
    TRY_ASSIGN(const std::string digest, store.digest_of(model));
    const auto modified = std::chrono::system_clock::from_time_t(model.modified_at);
    table.add({model.name.text(), digest.substr(0, kShownDigits), size_text(model.bytes),
               time_ago(std::chrono::system_clock::now() - modified)});
    list.push_back({{"name", model.name.text()},
                    {"digest", digest},
                    {"size", model.bytes},
                    {"modified_at", model.modified_at},
                    {"adapter", model.adapter.empty() ? Json() : Json(model.adapter)},
                    {"path", model.hef_path}});
  }
  if (command.global.json) {
    std::printf("%s\n", Json{{"models", std::move(list)}}.dump().c_str());
  } else {
    std::fputs(table.text().c_str(), stdout);
  }
  return {};
}

std::string shown_text(const Json& shown) {
  const Json& details = shown["details"];
  const Json& info = shown["model_info"];
  std::string text = "  Model\n";
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("    {:<20} {}\n", name, value);
  };
  line("architecture", details["family"].get<std::string>());
  line("parameters", details["parameter_size"].get<std::string>());
  line("context length", std::to_string(details["context_length"].get<int64_t>()));
  line("embedding length", std::to_string(details["embedding_length"].get<int64_t>()));
  line("quantization", details["quantization_level"].get<std::string>());
  text += "\n  Capabilities\n";
  for (const Json& capability : shown["capabilities"]) text += "    " + capability.get<std::string>() + "\n";
  if (const Json& adapters = info["hotaru.adapters"]; !adapters.empty()) {
    text += "\n  Adapters\n";
    for (const Json& adapter : adapters) text += "    " + adapter.get<std::string>() + "\n";
  }
  const auto section = [&](const char* title, const char* field) {
    if (!shown.contains(field) || shown[field].get<std::string>().empty()) return;
    text += fmt::format("\n  {}\n", title);
    std::string_view rest = shown[field].get_ref<const std::string&>();
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      text += fmt::format("    {}\n", rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  };
  section("Parameters", "parameters");
  section("System", "system");
  section("License", "license");
  return text;
}

Result<void> print_model(const ModelsCommand& command) {
  TRY_ASSIGN(const ModelStore store, open_store(command));
  TRY_ASSIGN(const StoredModel model, store.find(command.name));
  TRY_ASSIGN(const Json shown, server::show_json(model));
  const auto print = [&shown](const char* field) {
    std::printf("%s\n", shown.contains(field) ? shown[field].get<std::string>().c_str() : "");
  };
  if (command.global.json) {
    std::printf("%s\n", shown.dump().c_str());
  } else if (command.shows_modelfile) {
    print("modelfile");
  } else if (command.shows_parameters) {
    print("parameters");
  } else if (command.shows_template) {
    print("template");
  } else if (command.shows_system) {
    print("system");
  } else {
    std::fputs(shown_text(shown).c_str(), stdout);
  }
  return {};
}

Result<void> remove_models(const ModelsCommand& command) {
  TRY_ASSIGN(ModelStore store, open_store(command));
  for (const std::string& name : command.names) {
    TRY(store.remove(name));
    if (!command.global.quiet) std::printf("deleted '%s'\n", name.c_str());
  }
  return {};
}

Result<void> copy_model(const ModelsCommand& command) {
  TRY_ASSIGN(ModelStore store, open_store(command));
  TRY(store.copy(command.name, command.target));
  if (!command.global.quiet) std::printf("copied '%s' to '%s'\n", command.name.c_str(), command.target.c_str());
  return {};
}

CLI::App* add_command(CLI::App& app, const char* name, const char* help,
                      const std::shared_ptr<ModelsCommand>& command) {
  CLI::App* sub = app.add_subcommand(name, help);
  sub->add_option("--models", command->folder, "Folder of the models (default: HOTARU_MODELS or ~/.hotaru/models)");
  add_global_options(*sub, command->global);
  return sub;
}

}  // namespace

void add_models(CLI::App& app) {
  auto command = std::make_shared<ModelsCommand>();
  CLI::App* list = add_command(app, "list", "List the models of the store", command);
  list->alias("ls");
  list->footer("Example: hotaru list");
  set_action(*list, [command] { return print_list(*command); });

  command = std::make_shared<ModelsCommand>();
  CLI::App* show = add_command(app, "show", "Show a model of the store", command);
  show->footer("Example: hotaru show demo:captioner");
  show->add_option("MODEL", command->name, "NAME or NAME:ADAPTER")->required();
  show->add_flag("--modelfile", command->shows_modelfile, "As a Modelfile");
  show->add_flag("--parameters", command->shows_parameters, "Only the parameters");
  show->add_flag("--template", command->shows_template, "Only the chat template");
  show->add_flag("--system", command->shows_system, "Only the system message");
  set_action(*show, [command] { return print_model(*command); });

  command = std::make_shared<ModelsCommand>();
  CLI::App* remove = add_command(app, "rm", "Remove models from the store", command);
  remove->footer("Example: hotaru rm demo");
  remove->add_option("MODEL", command->names, "Names")->required();
  set_action(*remove, [command] { return remove_models(*command); });

  command = std::make_shared<ModelsCommand>();
  CLI::App* copy = add_command(app, "cp", "Give a model of the store another name", command);
  copy->footer("Example: hotaru cp demo backup");
  copy->add_option("SOURCE", command->name, "NAME or NAME:ADAPTER")->required();
  copy->add_option("DESTINATION", command->target, "The new name")->required();
  set_action(*copy, [command] { return copy_model(*command); });
}

}  // namespace hotaru::cli
