#include "server/openai/routes.h"

#include <memory>
#include <utility>

#include "server/openai/answering.h"
#include "server/openai/chat_request.h"
#include "server/openai/chat_writer.h"
#include "server/openai/completion_job.h"
#include "server/openai/completion_request.h"
#include "server/openai/completion_writer.h"
#include "server/openai/embeddings.h"
#include "server/openai/responses_request.h"
#include "server/openai/responses_writer.h"
#include "server/reply/answer_id.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

void answer_chat(ModelPool& pool, const SharedExchange& exchange) {
  with_request(exchange, parse_chat_request, [&](ChatRequest request) {
    ChatAnswer answer;
    answer.id = new_id("chatcmpl-");
    answer.created = unix_seconds();
    answer.model = request.task.model;
    answer.samples = request.task.samples;
    answer.streams = request.streams;
    answer.includes_usage = request.includes_usage;
    answer.has_logprobs = request.task.top_logprobs >= 0;
    run_reply(pool, std::move(request.task), std::make_unique<ChatWriter>(std::move(answer)),
              event_delivery(exchange, request.streams), exchange);
  });
}

void answer_completion(ModelPool& pool, const SharedExchange& exchange) {
  with_request(exchange, parse_completion_request, [&](CompletionRequest request) {
    CompletionAnswer answer;
    answer.id = new_id("cmpl-");
    answer.created = unix_seconds();
    answer.model = request.task.model;
    answer.samples = request.task.samples;
    answer.choices = request.choices;
    answer.logprobs = request.logprobs;
    answer.echoes = request.echoes;
    answer.streams = request.streams;
    answer.includes_usage = request.includes_usage;
    if (request.prompts.size() > 1 || (request.echoes && request.logprobs >= 0)) {
      std::make_shared<CompletionJob>(std::move(request), std::move(answer), exchange)->start(pool);
      return;
    }
    const bool streams = request.streams;
    std::visit([&](const auto& prompt) { request.task.prompt = prompt; }, request.prompts.front());
    auto writer = std::make_unique<CompletionWriter>(std::move(answer), std::move(request.prompts.front()));
    run_reply(pool, std::move(request.task), std::move(writer), event_delivery(exchange, streams), exchange);
  });
}

void answer_response(ModelPool& pool, const SharedExchange& exchange) {
  with_request(exchange, parse_responses_request, [&](ResponsesRequest request) {
    ResponsesAnswer answer;
    answer.id = new_id("resp_");
    answer.created = unix_seconds();
    answer.model = request.task.model;
    answer.streams = request.streams;
    answer.echoed = std::move(request.echoed);
    run_reply(pool, std::move(request.task), std::make_unique<ResponsesWriter>(std::move(answer)),
              event_delivery(exchange, request.streams), exchange);
  });
}

}  // namespace

void add_openai_routes(Router& router, ModelPool& pool) {
  const auto add = [&](std::string path, void (*answer)(ModelPool&, const SharedExchange&)) {
    router.add({"POST", std::move(path), [&pool, answer](const SharedExchange& exchange) { answer(pool, exchange); }});
  };
  add("/v1/chat/completions", answer_chat);
  add("/v1/completions", answer_completion);
  add("/v1/embeddings", answer_embeddings);
  add("/v1/responses", answer_response);
}

}  // namespace hotaru::server
