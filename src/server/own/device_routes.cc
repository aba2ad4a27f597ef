#include "server/own/device_routes.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/request/json_exchange.h"

namespace hotaru {
std::string_view openapi_text();  // docs/openapi.json, embedded
}

namespace hotaru::server {
namespace {

Json state_of(const LoadedModel& model) {
  Json json;
  json["name"] = model.stored.name.text();
  json["device_bytes"] = model.device_bytes;
  json["weight_bytes"] = model.device.weight_bytes;
  json["kv_bytes"] = model.state.kv_bytes;
  json["kv_bytes_used"] = model.state.kv_bytes_used;
  json["context_tokens"] = model.context_tokens;
  json["isa"] = isa_name(model.device.isa);
  json["threads"] = model.device.threads;
  json["users"] = model.users;
  json["contexts"] = model.state.contexts;
  json["queued_requests"] = model.state.queued_requests;
  json["running_requests"] = model.state.running_requests;
  json["prompt_tokens"] = model.state.prompt_tokens;
  json["reused_tokens"] = model.state.reused_tokens;
  json["generated_tokens"] = model.state.generated_tokens;
  json["expires_in_seconds"] = nullptr;  // never
  if (model.expires_at) {
    const auto left = *model.expires_at - std::chrono::system_clock::now();
    json["expires_in_seconds"] = std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(left).count());
  }
  return json;
}

bool is_loaded(const StoredModel& model, const std::vector<LoadedModel>& loaded) {
  return std::any_of(loaded.begin(), loaded.end(),
                     [&model](const LoadedModel& other) { return other.stored.hef_path == model.hef_path; });
}

}  // namespace

Json device_state(const std::vector<LoadedModel>& models) {
  uint64_t used = 0;
  Json list = Json::array();
  for (const LoadedModel& model : models) {
    used += model.device_bytes;
    list.push_back(state_of(model));
  }
  return {{"used_bytes", used}, {"models", std::move(list)}};
}

Json model_list(const std::vector<StoredModel>& stored, const std::vector<LoadedModel>& loaded) {
  Json list = Json::array();
  for (const StoredModel& model : stored) {
    if (!model.name.adapter.empty()) continue;
    Json adapters = Json::array();
    for (const StoredModel& other : stored) {
      if (other.name.name == model.name.name && !other.name.adapter.empty()) adapters.push_back(other.name.adapter);
    }
    list.push_back({{"name", model.name.name},
                    {"bytes", model.bytes},
                    {"modified_at", model.modified_at},
                    {"is_loaded", is_loaded(model, loaded)},
                    {"adapters", std::move(adapters)}});
  }
  return {{"models", std::move(list)}};
}

void add_device_routes(Router& router, ModelPool& pool) {
  const auto get = [&router](std::string path, Handler handler) {
    router.add({.method = "GET", .path = std::move(path), .handler = std::move(handler)});
  };
  get("/hotaru/v1/device",
      [&pool](const SharedExchange& exchange) { exchange->respond(json_response(device_state(pool.loaded()))); });
  get("/hotaru/v1/models", [&pool](const SharedExchange& exchange) {
    const auto stored = pool.store().list();
    if (!stored) return refuse(exchange, stored.error());
    exchange->respond(json_response(model_list(*stored, pool.loaded())));
  });
  get("/hotaru/v1/openapi.json", [](const SharedExchange& exchange) {
    HttpResponse response;
    response.body = openapi_text();
    exchange->respond(std::move(response));
  });
}

}  // namespace hotaru::server
