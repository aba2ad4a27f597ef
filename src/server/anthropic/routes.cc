#include "server/anthropic/routes.h"

#include <memory>
#include <utility>

#include "server/anthropic/messages_request.h"
#include "server/anthropic/messages_writer.h"
#include "server/openai/answering.h"
#include "server/reply/answer_id.h"
#include "server/reply/reply_prompt.h"
#include "server/request/errors.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

void answer_messages(ModelPool& pool, const std::shared_ptr<Exchange>& exchange) {
  with_request(exchange, parse_messages_request, [&](MessagesRequest request) {
    MessagesAnswer answer;
    answer.id = new_id("msg_");
    answer.model = request.task.model;
    answer.streams = request.streams;
    run_reply(pool, std::move(request.task), std::make_unique<MessagesWriter>(std::move(answer)),
              event_delivery(exchange, request.streams), exchange);
  });
}

Result<size_t> count_tokens(ModelPool& pool, const ReplyTask& task) {
  TRY_ASSIGN(const ModelLease lease, pool.acquire(task.model));
  TRY_ASSIGN(const ReplyPrompt prompt, encode_prompt(task, lease.stored, lease.engine->model()));
  return prompt.ids.size();
}

void answer_count(ModelPool& pool, const std::shared_ptr<Exchange>& exchange) {
  with_request(exchange, parse_count_request, [&](const ReplyTask& task) {
    const auto tokens = count_tokens(pool, task);
    if (!tokens) return exchange->respond(error_response(exchange->request().path, tokens.error()));
    HttpResponse response;
    response.body = json_line({{"input_tokens", *tokens}});
    exchange->respond(std::move(response));
  });
}

}  // namespace

void add_anthropic_routes(Router& router, ModelPool& pool) {
  router.add({"POST", "/v1/messages",
              [&pool](const std::shared_ptr<Exchange>& exchange) { answer_messages(pool, exchange); }});
  router.add({"POST", "/v1/messages/count_tokens",
              [&pool](const std::shared_ptr<Exchange>& exchange) { answer_count(pool, exchange); }});
}

}  // namespace hotaru::server
