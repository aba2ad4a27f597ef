// A model from a registry that speaks Ollama's protocol (the distribution protocol of container images):
//   GET /v2/<namespace>/<name>/manifests/<tag>   {"layers": [{"mediaType", "digest", "size"}]}
//   GET /v2/<namespace>/<name>/blobs/<digest>    with Range
// The HEF is the layer of type application/vnd.hotaru.hef.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/store/model_store.h"

namespace hotaru::server {

inline constexpr std::string_view kHefMediaType = "application/vnd.hotaru.hef";

struct PullStatus {
  std::string status;
  std::string digest;  // "sha256:..."; empty: not about a file
  uint64_t total = 0, completed = 0;
};

struct PullOptions {
  std::string registry;  // "https://host[:port]"; empty: none is configured
  std::function<void(const PullStatus&)> on_status;
  std::function<bool()> is_cancelled;  // may be empty
};

// HOTARU_REGISTRY; a name alone means https. Empty: none.
std::string registry_from_environment();

// What has arrived stays in the store's blob folder, whatever ends the pull: the next one goes on from there. The model
// is there as a whole, with the right digest, or not at all. kNotFound: the registry has no such model; kBusy: another
// process or thread pulls the same file.
Result<void> pull_model(ModelStore& store, std::string_view name, const PullOptions& options);

}  // namespace hotaru::server
