#include "server/store/handlers.h"

#include <optional>

#include "server/ollama/timestamp.h"
#include "server/request/errors.h"
#include "server/request/fields.h"
#include "server/store/hef_details.h"

namespace hotaru::server {
namespace {

// "model", or "name" of older clients.
std::string model_field(Fields& fields) {
  if (std::optional<std::string> model = fields.text("model"); model && !model->empty()) return *model;
  if (std::optional<std::string> name = fields.text("name"); name && !name->empty()) return *name;
  return fields.required_text("model");
}

std::optional<std::string> read_model(const SharedExchange& exchange) {
  return read_request<std::string>(exchange, model_field);
}

void respond_done(const SharedExchange& exchange, const Result<void>& done) {
  if (!done) return refuse(exchange, done.error());
  exchange->respond(HttpResponse{});
}

std::chrono::system_clock::time_point modified_at(const StoredModel& model) {
  return std::chrono::system_clock::from_time_t(model.modified_at);
}

Json openai_model(const StoredModel& model) {
  return {{"id", model.name.text()}, {"object", "model"}, {"created", model.modified_at}, {"owned_by", "library"}};
}

}  // namespace

void handle_tags(const ModelStore& store, const SharedExchange& exchange) {
  const Result<std::vector<StoredModel>> models = store.list();
  if (!models) return refuse(exchange, models.error());
  Json list = Json::array();
  for (const StoredModel& model : *models) {
    const Result<std::string> digest = store.digest_of(model);
    if (!digest) continue;  // gone since
    list.push_back({{"name", model.name.text()},
                    {"model", model.name.text()},
                    {"modified_at", rfc3339(modified_at(model))},
                    {"size", model.bytes},
                    {"digest", *digest},
                    {"details", details_json(model)}});
  }
  exchange->respond(json_response({{"models", std::move(list)}}));
}

void handle_ps(const ModelPool& pool, const SharedExchange& exchange) {
  constexpr auto kForever = std::chrono::hours(24 * 365 * 100);  // clients show it so
  Json list = Json::array();
  for (const LoadedModel& model : pool.loaded()) {
    const auto expires = model.expires_at.value_or(std::chrono::system_clock::now() + kForever);
    list.push_back({{"name", model.stored.name.text()},
                    {"model", model.stored.name.text()},
                    {"size", model.device_bytes},
                    {"digest", model.stored.digest},
                    {"details", details_json(model.stored)},
                    {"expires_at", rfc3339(expires)},
                    {"size_vram", model.device_bytes},
                    {"context_length", model.context_tokens}});
  }
  exchange->respond(json_response({{"models", std::move(list)}}));
}

void handle_show(const ModelStore& store, const SharedExchange& exchange) {
  const std::optional<std::string> name = read_model(exchange);
  if (!name) return;
  const Result<StoredModel> model = store.find(*name);
  if (!model) return refuse(exchange, model.error());
  const Result<Json> shown = show_json(*model);
  if (!shown) return refuse(exchange, shown.error());
  exchange->respond(json_response(*shown));
}

void handle_copy(ModelStore& store, const SharedExchange& exchange) {
  struct Names {
    std::string source, destination;
  };
  const auto names = read_request<Names>(exchange, [](Fields& fields) {
    return Names{fields.required_text("source"), fields.required_text("destination")};
  });
  if (names) respond_done(exchange, store.copy(names->source, names->destination));
}

void handle_delete(ModelPool& pool, const SharedExchange& exchange) {
  const std::optional<std::string> name = read_model(exchange);
  if (!name) return;
  const Result<void> removed = pool.store().remove(*name);
  if (removed) pool.unload(*name);
  respond_done(exchange, removed);
}

void handle_blob_exists(const ModelStore& store, const SharedExchange& exchange) {
  const std::string digest(exchange->request().parameter("digest"));
  const Result<std::string> path = store.blob_path(digest);
  if (!path) return refuse(exchange, path.error());
  if (store.has_blob(digest)) return exchange->respond(HttpResponse{});
  refuse(exchange, make_error(ErrorKind::kNotFound, "blob \"{}\" not found", digest));
}

void handle_blob(ModelStore& store, const SharedExchange& exchange) {
  const std::string digest(exchange->request().parameter("digest"));
  if (store.has_blob(digest)) return exchange->respond(HttpResponse{});
  const Result<void> put = store.put_blob(digest, exchange->request().body_file);
  if (!put) return refuse(exchange, put.error());
  HttpResponse created;
  created.status = 201;
  exchange->respond(std::move(created));
}

void handle_models(const ModelStore& store, const SharedExchange& exchange) {
  const Result<std::vector<StoredModel>> models = store.list();
  if (!models) return refuse(exchange, models.error());
  Json list = Json::array();
  for (const StoredModel& model : *models) list.push_back(openai_model(model));
  exchange->respond(json_response({{"object", "list"}, {"data", std::move(list)}}));
}

void handle_model(const ModelStore& store, const SharedExchange& exchange) {
  const Result<StoredModel> model = store.find(exchange->request().parameter("id"));
  if (!model) return refuse(exchange, model.error(), "model");
  exchange->respond(json_response(openai_model(*model)));
}

}  // namespace hotaru::server
