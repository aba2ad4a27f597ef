#include "server/store/routes.h"

#include "server/request/errors.h"
#include "server/store/handlers.h"

namespace hotaru::server {

void add_store_routes(Router& router, ModelPool& pool, const StoreRoutesOptions& options) {
  ModelStore& store = pool.store();
  router.add({"GET", "/api/version", [version = options.version](const SharedExchange& exchange) {
                exchange->respond(json_response({{"version", version}}));
              }});
  router.add({"GET", "/api/tags", [&store](const SharedExchange& exchange) { handle_tags(store, exchange); }});
  router.add({"GET", "/api/ps", [&pool](const SharedExchange& exchange) { handle_ps(pool, exchange); }});
  router.add({"POST", "/api/show", [&store](const SharedExchange& exchange) { handle_show(store, exchange); }});
  router.add({"POST", "/api/copy", [&store](const SharedExchange& exchange) { handle_copy(store, exchange); }});
  router.add({"DELETE", "/api/delete", [&pool](const SharedExchange& exchange) { handle_delete(pool, exchange); }});
  router.add({"POST", "/api/create", [&pool](const SharedExchange& exchange) { handle_create(pool, exchange); }});
  router.add({"HEAD", "/api/blobs/{digest}",
              [&store](const SharedExchange& exchange) { handle_blob_exists(store, exchange); }});
  router.add({"POST", "/api/blobs/{digest}", [&store](const SharedExchange& exchange) { handle_blob(store, exchange); },
              BodyKind::kFile});
  const std::shared_ptr<Pulls> pulls = Pulls::create(store, options.registry);
  router.add({"POST", "/api/pull", [pulls](const SharedExchange& exchange) { pulls->handle(exchange); }});
  router.add({"POST", "/api/push", [](const SharedExchange& exchange) {
                exchange->respond(error_response(exchange->request().path,
                                                 not_supported("push is not supported: Hotaru only pulls models")));
              }});
  router.add({"GET", "/v1/models", [&store](const SharedExchange& exchange) { handle_models(store, exchange); }});
  router.add(
      {"GET", "/v1/models/{id...}", [&store](const SharedExchange& exchange) { handle_model(store, exchange); }});
}

}  // namespace hotaru::server
