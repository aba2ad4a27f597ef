// Ollama's API of models: GET /api/version, /api/tags, /api/ps; POST /api/show, /api/copy, /api/create, /api/pull,
// /api/push (refused); DELETE /api/delete; HEAD and POST /api/blobs/{digest}. OpenAI's: GET /v1/models,
// /v1/models/{id}.
#pragma once

#include <string>

#include "server/http/router.h"
#include "server/store/model_pool.h"
#include "server/store/pull.h"

namespace hotaru::server {

// The Ollama whose API is spoken here (with log-probabilities): clients refuse servers that say an older one.
inline constexpr const char* kOllamaVersion = "0.12.11";

struct StoreRoutesOptions {
  std::string version = kOllamaVersion;
  std::string registry = registry_from_environment();
};

// `pool` outlives the router.
void add_store_routes(Router& router, ModelPool& pool, const StoreRoutesOptions& options = {});

}  // namespace hotaru::server
