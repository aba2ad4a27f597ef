// What the routes of models do; each answers its exchange before it returns, but for a pull, which goes on.
#pragma once

#include <memory>
#include <string>

#include "server/request/json_exchange.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

void handle_tags(const ModelStore& store, const SharedExchange& exchange);
void handle_ps(const ModelPool& pool, const SharedExchange& exchange);
void handle_show(const ModelStore& store, const SharedExchange& exchange);
void handle_copy(ModelStore& store, const SharedExchange& exchange);
void handle_delete(ModelPool& pool, const SharedExchange& exchange);
void handle_create(ModelPool& pool, const SharedExchange& exchange);
void handle_blob_exists(const ModelStore& store, const SharedExchange& exchange);
void handle_blob(ModelStore& store, const SharedExchange& exchange);
void handle_models(const ModelStore& store, const SharedExchange& exchange);
void handle_model(const ModelStore& store, const SharedExchange& exchange);

// Pulls, each on a thread of its own: they take as long as the network does. They end with their client, and with this.
class Pulls {
 public:
  static std::shared_ptr<Pulls> create(ModelStore& store, std::string registry);
  virtual ~Pulls() = default;
  virtual void handle(const SharedExchange& exchange) = 0;
};

}  // namespace hotaru::server
