// A model named on the command line: a file, or a name of the store.
#pragma once

#include <string>

#include "base/result.h"

namespace hotaru::cli {

struct NamedModel {
  std::string hef_path;
  std::string adapter;  // that the name chooses; empty: none
  std::string system;   // that it was made with; empty: none
};
// A file of that path wins. kNotFound names both places.
Result<NamedModel> find_named_model(const std::string& name);

}  // namespace hotaru::cli
