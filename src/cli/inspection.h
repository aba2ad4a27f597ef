// What `hotaru inspect` knows about a path, before it is printed.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "format/context_file.h"
#include "format/har.h"
#include "format/hef.h"
#include "model/checkpoint.h"

namespace hotaru::cli {

struct Inspection {
  Json summary;  // the object of --json
  size_t checksums = 0;
  std::optional<Checkpoint> checkpoint;  // one of the four is there
  std::optional<HarFile> har;
  std::optional<HefFile> hef;
  std::optional<ContextFile> context;
};

Result<Inspection> inspect_path(const std::string& path, ThreadPool& pool);

// [{"name", "type", "shape", "bytes"}]
Json tensors_json(const Inspection& found);
std::string summary_text(const Inspection& found);

}  // namespace hotaru::cli
