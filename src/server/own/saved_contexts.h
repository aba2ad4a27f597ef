// Contexts in files, FOLDER/contexts/NAME.context beside the models: what `hotaru run --load-context` reads, too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/store/model_store.h"

namespace hotaru::server {

struct SavedContext {
  std::string name;
  uint64_t bytes = 0;
  int64_t modified_at = 0;  // Unix seconds
};

// Names are as those of models without '/' and ':'; others are kInvalid.
class SavedContexts {
 public:
  explicit SavedContexts(const ModelStore& store) : folder_(store.folder() + "/contexts") {}
  // Where a context of this name is written; makes the folder.
  [[nodiscard]] Result<std::string> path_for(std::string_view name) const;
  // kNotFound: there is none.
  [[nodiscard]] Result<std::string> path_of(std::string_view name) const;
  [[nodiscard]] Result<SavedContext> find(std::string_view name) const;
  [[nodiscard]] Result<std::vector<SavedContext>> list() const;  // by name
  Result<void> remove(std::string_view name) const;

 private:
  const std::string folder_;
};

}  // namespace hotaru::server
