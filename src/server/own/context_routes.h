// Contexts that clients hold: /hotaru/v1/contexts (create, list, look at, fork, clear, change the adapter of, save,
// delete, chat in, resume) and /hotaru/v1/saved_contexts. docs/openapi.json describes them.
#pragma once

#include "server/http/router.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

// `pool` outlives the router. The contexts live as long as the router does.
void add_context_routes(Router& router, ModelPool& pool);

}  // namespace hotaru::server
