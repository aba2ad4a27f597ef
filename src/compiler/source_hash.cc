#include "compiler/source_hash.h"

#include <algorithm>

#include "base/file.h"
#include "base/hash.h"
#include "base/mapped_pages.h"

namespace hotaru {
namespace {

constexpr size_t kBlockBytes = size_t{64} << 20;

}  // namespace

Result<std::string> source_hash(const Checkpoint& checkpoint) {
  Sha256 hash;
  for (const auto file : checkpoint.tensors.file_bytes()) {
    for (size_t begin = 0; begin < file.size(); begin += kBlockBytes) {
      const auto block = file.subspan(begin, std::min(kBlockBytes, file.size() - begin));
      hash.update(block);
      drop_mapped_pages(block);
    }
  }
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
