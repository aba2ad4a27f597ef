// Anthropic's API: POST /v1/messages, /v1/messages/count_tokens.
#pragma once

#include "server/http/router.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

// `pool` outlives the router.
void add_anthropic_routes(Router& router, ModelPool& pool);

}  // namespace hotaru::server
