// Ollama's API, as far as it makes text or vectors: POST /api/generate, /api/chat, /api/embed, /api/embeddings. Models
// on disk are served by others.
#pragma once

#include "server/http/router.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

// The pool must outlive the router.
void add_ollama_routes(Router& router, ModelPool& pool);

}  // namespace hotaru::server
