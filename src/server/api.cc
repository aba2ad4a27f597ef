#include "server/api.h"

#include <utility>

#include "server/anthropic/routes.h"
#include "server/ollama/routes.h"
#include "server/openai/routes.h"
#include "server/own/context_routes.h"
#include "server/own/device_routes.h"
#include "server/own/service_routes.h"

namespace hotaru::server {

Router api_routes(ModelPool& pool, ApiOptions options) {
  Router router;
  add_service_routes(router, pool, std::move(options.request_metrics));
  add_device_routes(router, pool);
  add_context_routes(router, pool);
  add_ollama_routes(router, pool);
  add_openai_routes(router, pool);
  add_anthropic_routes(router, pool);
  add_store_routes(router, pool, options.store);
  return router;
}

}  // namespace hotaru::server
