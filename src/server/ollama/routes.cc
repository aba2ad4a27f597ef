#include "server/ollama/routes.h"

#include <utility>

#include "server/ollama/embed.h"
#include "server/ollama/reply_request.h"
#include "server/ollama/reply_writer.h"
#include "server/request/errors.h"

namespace hotaru::server {
namespace {

using Kind = OllamaReplyWriter::Kind;

// With keep_alive 0 the model goes, without having come.
Result<HttpResponse> load(ModelPool& pool, const ReplyTask& task, Kind kind) {
  if (task.keep_alive == KeepAlive::zero()) {
    TRY(pool.store().find(task.model));
    pool.unload(task.model);
    return OllamaReplyWriter::loaded(kind, task.model, "unload");
  }
  TRY(pool.acquire(task.model, task.keep_alive));
  return OllamaReplyWriter::loaded(kind, task.model, "load");
}

void answer(ModelPool& pool, Kind kind, const std::shared_ptr<Exchange>& exchange) {
  const auto received = std::chrono::steady_clock::now();
  const std::string& path = exchange->request().path;
  const auto refuse = [path](const Error& error) { return error_response(path, error); };
  const std::string& body = exchange->request().body;
  Result<OllamaReplyRequest> request = kind == Kind::kChat ? parse_chat(body) : parse_generate(body);
  if (!request) return exchange->respond(refuse(request.error()));
  if (request->only_loads) {
    Result<HttpResponse> response = load(pool, request->task, kind);
    return exchange->respond(response ? *std::move(response) : refuse(response.error()));
  }
  OllamaReplyWriter::Options options{.kind = kind,
                                     .model = request->task.model,
                                     .streams = request->streams,
                                     .wants_context = request->wants_context,
                                     .has_logprobs = request->task.top_logprobs >= 0,
                                     .received = received};
  run_reply(pool, std::move(request->task), std::make_unique<OllamaReplyWriter>(std::move(options)),
            {.streams = request->streams, .content_type = "application/x-ndjson", .refuse = refuse}, exchange);
}

}  // namespace

void add_ollama_routes(Router& router, ModelPool& pool) {
  const auto add = [&](const std::string& path, auto answer_it) {
    router.add(
        {.method = "POST", .path = path, .handler = [&pool, answer_it](const std::shared_ptr<Exchange>& exchange) {
           answer_it(pool, exchange);
         }});
  };
  add("/api/generate", [](ModelPool& models, const auto& exchange) { answer(models, Kind::kGenerate, exchange); });
  add("/api/chat", [](ModelPool& models, const auto& exchange) { answer(models, Kind::kChat, exchange); });
  add("/api/embed", answer_embed);
  add("/api/embeddings", answer_embeddings_of_old);
}

}  // namespace hotaru::server
