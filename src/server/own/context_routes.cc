#include "server/own/context_routes.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/own/context_reply.h"
#include "server/own/held_contexts.h"
#include "server/own/saved_contexts.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

struct Contexts {
  explicit Contexts(ModelPool& models) : pool(models) {}
  ModelPool& pool;
  HeldContexts held;
};

HttpResponse empty_response() {
  HttpResponse response;
  response.status = 204;
  return response;
}

HttpResponse created(HeldContext& context) {
  const std::lock_guard lock(context.mutex);
  return json_response(context_json(context, true), 201);
}

Json saved_json(const SavedContext& saved) {
  return {{"name", saved.name}, {"bytes", saved.bytes}, {"modified_at", saved.modified_at}};
}

Result<int> adapter_of(const Engine& engine, const std::string& name) {
  if (name.empty()) return kNoAdapter;
  return find_adapter(engine.model().device().info(), name);
}

struct CreateRequest {
  std::string model, lora;
  std::optional<std::string> saved, system;
};

Result<Conversation> load_conversation(const Contexts& contexts, const std::string& name,
                                       const std::shared_ptr<Engine>& engine) {
  TRY_ASSIGN(const std::string path, SavedContexts(contexts.pool.store()).path_of(name));
  Result<Conversation> loaded = Conversation::load(engine, path);
  if (loaded || loaded.error().kind != ErrorKind::kInvalid) return loaded;
  return make_error(ErrorKind::kIo, "saved context '{}' is damaged: {}", name, loaded.error().message);
}

Result<Conversation> open_conversation(const Contexts& contexts, const CreateRequest& request,
                                       const ModelLease& lease) {
  if (!lease.stored.chat_template.empty()) {
    return not_supported("model '{}' has a template of its own: contexts know that of the HEF only", request.model);
  }
  int adapter = lease.adapter;
  if (!request.lora.empty()) {
    TRY_ASSIGN(adapter, adapter_of(*lease.engine, request.lora));
  }
  if (!request.saved) return Conversation::create(lease.engine, adapter);
  TRY_ASSIGN(Conversation conversation, load_conversation(contexts, *request.saved, lease.engine));
  if (!request.lora.empty()) TRY(conversation.set_adapter(adapter));
  return conversation;
}

Result<std::shared_ptr<HeldContext>> create(Contexts& contexts, const CreateRequest& request) {
  TRY_ASSIGN(ModelLease lease, contexts.pool.acquire(request.model));
  TRY_ASSIGN(Conversation conversation, open_conversation(contexts, request, lease));
  if (request.system) {
    conversation.set_system(*request.system);
  } else if (!request.saved) {
    conversation.set_system(lease.stored.system);
  }
  const ReplyDialect dialect = dialect_of(lease.engine->model());
  conversation.set_dropped_marks(dialect.think_begin, dialect.think_end);
  return contexts.held.add(std::move(lease), std::move(conversation));
}

void handle_create(Contexts& contexts, const SharedExchange& exchange) {
  const auto request = read_request<CreateRequest>(exchange, [](Fields& fields) {
    CreateRequest read{fields.required_text("model"), fields.text("lora").value_or(""), fields.text("saved"),
                       fields.text("system")};
    return read;
  });
  if (!request) return;
  const Result<std::shared_ptr<HeldContext>> context = create(contexts, *request);
  if (!context) return refuse(exchange, context.error());
  exchange->respond(created(**context));
}

void handle_list(Contexts& contexts, const SharedExchange& exchange) {
  Json list = Json::array();
  for (const auto& context : contexts.held.all()) {
    const std::lock_guard lock(context->mutex);
    list.push_back(context_json(*context, false));
  }
  exchange->respond(json_response({{"contexts", std::move(list)}}));
}

using SharedContext = std::shared_ptr<HeldContext>;

// `work` gets the context that the path names and gives the answer.
template <typename Work>
void with_context(Contexts& contexts, const SharedExchange& exchange, Work work) {
  const Result<SharedContext> context = contexts.held.find(exchange->request().parameter("id"));
  if (!context) return refuse(exchange, context.error());
  work(*context);
}

// The same for what a reply must not be in the way of. `work` holds the context's mutex and makes the answer.
template <typename Work>
void with_idle_context(Contexts& contexts, const SharedExchange& exchange, Work work) {
  with_context(contexts, exchange, [&](const SharedContext& context) {
    const std::lock_guard lock(context->mutex);
    if (context->is_replying) return exchange->respond(busy_response(*context, exchange));
    Result<HttpResponse> response = work(*context);
    if (!response) return refuse(exchange, response.error());
    exchange->respond(*std::move(response));
  });
}

void handle_show(Contexts& contexts, const SharedExchange& exchange) {
  with_context(contexts, exchange, [&](const SharedContext& context) {
    const std::lock_guard lock(context->mutex);
    exchange->respond(json_response(context_json(*context, true)));
  });
}

void handle_delete(Contexts& contexts, const SharedExchange& exchange) {
  const Result<void> removed = contexts.held.remove(exchange->request().parameter("id"));
  if (!removed) return refuse(exchange, removed.error());
  exchange->respond(empty_response());
}

void handle_fork(Contexts& contexts, const SharedExchange& exchange) {
  with_idle_context(contexts, exchange, [&](HeldContext& context) -> Result<HttpResponse> {
    TRY_ASSIGN(Conversation twin, context.conversation.fork());
    TRY_ASSIGN(const SharedContext added, contexts.held.add(context.lease, std::move(twin)));
    return created(*added);
  });
}

void handle_clear(Contexts& contexts, const SharedExchange& exchange) {
  with_idle_context(contexts, exchange, [](HeldContext& context) -> Result<HttpResponse> {
    TRY(context.conversation.clear());
    return json_response(context_json(context, true));
  });
}

void handle_change(Contexts& contexts, const SharedExchange& exchange) {
  const auto lora = read_request<std::string>(exchange, [](Fields& fields) { return fields.required_text("lora"); });
  if (!lora) return;
  with_idle_context(contexts, exchange, [&](HeldContext& context) -> Result<HttpResponse> {
    const Result<int> adapter = adapter_of(*context.lease.engine, *lora);
    if (!adapter) return invalid("'lora': {}", adapter.error().message);  // a 404 would be the context's
    TRY(context.conversation.set_adapter(*adapter));
    return json_response(context_json(context, true));
  });
}

void handle_save(Contexts& contexts, const SharedExchange& exchange) {
  const auto name = read_request<std::string>(exchange, [](Fields& fields) { return fields.required_text("name"); });
  if (!name) return;
  with_idle_context(contexts, exchange, [&](HeldContext& context) -> Result<HttpResponse> {
    const SavedContexts saved(contexts.pool.store());
    TRY_ASSIGN(const std::string path, saved.path_for(*name));
    TRY(context.conversation.save(path));
    TRY_ASSIGN(const SavedContext file, saved.find(*name));
    return json_response(saved_json(file));
  });
}

void handle_saved(Contexts& contexts, const SharedExchange& exchange) {
  const Result<std::vector<SavedContext>> saved = SavedContexts(contexts.pool.store()).list();
  if (!saved) return refuse(exchange, saved.error());
  Json list = Json::array();
  for (const SavedContext& context : *saved) list.push_back(saved_json(context));
  exchange->respond(json_response({{"saved_contexts", std::move(list)}}));
}

void handle_delete_saved(Contexts& contexts, const SharedExchange& exchange) {
  const Result<void> removed = SavedContexts(contexts.pool.store()).remove(exchange->request().parameter("name"));
  if (!removed) return refuse(exchange, removed.error());
  exchange->respond(empty_response());
}

}  // namespace

void add_context_routes(Router& router, ModelPool& pool) {
  const auto contexts = std::make_shared<Contexts>(pool);
  const auto add = [&](const char* method, const std::string& path, void (*handle)(Contexts&, const SharedExchange&)) {
    router.add({.method = method,
                .path = "/hotaru/v1/" + path,
                .handler = [contexts, handle](const SharedExchange& exchange) { handle(*contexts, exchange); }});
  };
  const auto add_turn = [&](const std::string& path, ContextTurn turn) {
    router.add({.method = "POST", .path = "/hotaru/v1/" + path, .handler = [contexts, turn](const auto& exchange) {
                  with_context(*contexts, exchange,
                               [&](const SharedContext& context) { answer_in_context(context, turn, exchange); });
                }});
  };
  add("GET", "contexts", handle_list);
  add("POST", "contexts", handle_create);
  add("GET", "contexts/{id}", handle_show);
  add("PATCH", "contexts/{id}", handle_change);
  add("DELETE", "contexts/{id}", handle_delete);
  add("POST", "contexts/{id}/fork", handle_fork);
  add("POST", "contexts/{id}/clear", handle_clear);
  add("POST", "contexts/{id}/save", handle_save);
  add_turn("contexts/{id}/chat", ContextTurn::kChat);
  add_turn("contexts/{id}/resume", ContextTurn::kResume);
  add("GET", "saved_contexts", handle_saved);
  add("DELETE", "saved_contexts/{name}", handle_delete_saved);
}

}  // namespace hotaru::server
