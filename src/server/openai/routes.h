// OpenAI's API: POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses.
#pragma once

#include "server/http/router.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

// `pool` outlives the router.
void add_openai_routes(Router& router, ModelPool& pool);

}  // namespace hotaru::server
