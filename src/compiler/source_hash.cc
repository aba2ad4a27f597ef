#include "compiler/source_hash.h"

#include "base/file.h"
#include "base/hash.h"

namespace hotaru {

Result<std::string> source_hash(const Checkpoint& checkpoint) {
  Sha256 hash;
  for (const auto bytes : checkpoint.tensors.file_bytes()) hash.update(bytes);
  TRY_ASSIGN(const std::string config, read_text_file(checkpoint.directory + "/config.json"));
  hash.update(std::as_bytes(std::span(config)));
  return hash.finish_hex();
}

uint64_t parameter_count(const Graph& graph) {
  uint64_t count = 0;
  for (const Parameter& parameter : graph.parameters) {
    if (!parameter.source.empty()) count += static_cast<uint64_t>(parameter.rows * parameter.columns);
  }
  return count;
}

}  // namespace hotaru
