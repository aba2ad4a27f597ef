// Every route of the server, each API by its own function.
#pragma once

#include <functional>
#include <string>

#include "server/http/router.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

// `pool` outlives the router. `request_metrics`: own/service_routes.h.
Router api_routes(ModelPool& pool, std::function<std::string()> request_metrics);

}  // namespace hotaru::server
