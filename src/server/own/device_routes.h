// Hotaru's own API, as far as it only looks: GET /hotaru/v1/device, /hotaru/v1/models (with their adapters), and the
// description of the API itself, /hotaru/v1/openapi.json.
#pragma once

#include "base/json.h"
#include "server/http/router.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

// `pool` outlives the router.
void add_device_routes(Router& router, ModelPool& pool);

Json device_state(const std::vector<LoadedModel>& models);
// Adapters stand below their model; the order is the list's.
Json model_list(const std::vector<StoredModel>& stored, const std::vector<LoadedModel>& loaded);

}  // namespace hotaru::server
