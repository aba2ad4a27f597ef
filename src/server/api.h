// Every route of the server, each API by its own function.
#pragma once

#include <functional>
#include <string>

#include "server/http/router.h"
#include "server/store/model_pool.h"
#include "server/store/routes.h"

namespace hotaru::server {

struct ApiOptions {
  std::function<std::string()> request_metrics;  // own/service_routes.h
  StoreRoutesOptions store;
};

// `pool` outlives the router.
Router api_routes(ModelPool& pool, ApiOptions options);

}  // namespace hotaru::server
