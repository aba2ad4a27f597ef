// What is neither Ollama's nor OpenAI's: GET / (for a browser the chat page, for Ollama's clients its greeting),
// GET /healthz, GET /metrics.
#pragma once

#include <functional>
#include <string>

#include "server/http/router.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

// `request_metrics` gives the part of /metrics that only the HTTP server knows; it is asked when a request comes.
void add_service_routes(Router& router, ModelPool& pool, std::function<std::string()> request_metrics);

// Prometheus' text about models in memory.
std::string model_metrics(const std::vector<LoadedModel>& models);

}  // namespace hotaru::server
