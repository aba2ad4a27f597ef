// POST /api/embed and its forerunner /api/embeddings.
#pragma once

#include <memory>

#include "server/http/exchange.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

void answer_embed(ModelPool& pool, const std::shared_ptr<Exchange>& exchange);
// One text in, one vector out.
void answer_embeddings_of_old(ModelPool& pool, const std::shared_ptr<Exchange>& exchange);

}  // namespace hotaru::server
