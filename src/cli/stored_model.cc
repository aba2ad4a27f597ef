#include "cli/stored_model.h"

#include <filesystem>

#include "base/log.h"
#include "server/store/model_store.h"

namespace hotaru::cli {

Result<NamedModel> find_named_model(const std::string& name) {
  const std::string folder = server::ModelStore::default_folder();
  std::error_code code;
  const bool is_name = server::ModelName::parse(name).ok() && std::filesystem::is_directory(folder, code);
  if (std::filesystem::exists(name, code) || !is_name) return NamedModel{name, {}, {}};
  TRY_ASSIGN(const server::ModelStore store, server::ModelStore::open(folder));
  Result<server::StoredModel> model = store.find(name);
  if (!model && model.error().kind == ErrorKind::kNotFound) {
    return make_error(ErrorKind::kNotFound, "{}: no such file, and no model of that name in {}", name, folder);
  }
  if (!model) return std::move(model).error();
  if (!model->chat_template.empty() || model->parameters.is_object()) {
    log_warning(
        fmt::format("'{}' was made with a template or parameters of its own: only the server knows them", name));
  }
  return NamedModel{model->hef_path, model->adapter, model->system};
}

}  // namespace hotaru::cli
