#include "server/reply/reply_task.h"

#include <optional>
#include <utility>

#include "server/reply/generation_options.h"
#include "server/reply/model_options.h"
#include "server/reply/reply_prompt.h"
#include "server/reply/running_reply.h"

namespace hotaru::server {
namespace {

Result<GenerationRequest> request_of(const ReplyTask& task, const ModelLease& lease, ReplyPrompt prompt) {
  const LanguageModel& model = lease.engine->model();
  GenerationRequest request;
  request.adapter = lease.adapter;
  if (!task.lora.empty()) {
    TRY_ASSIGN(request.adapter, find_adapter(model.device().info(), task.lora));
  }
  TRY_ASSIGN(request.options, generation_options(task, prompt.dialect, model));
  request.ids = std::move(prompt.ids);
  request.continues_text = prompt.continues_text;
  request.stop = task.stop;
  request.top_logprobs = task.top_logprobs;
  return request;
}

struct Prepared {
  ModelLease lease;
  ReplyPrompt prompt;
};

Result<Prepared> prepare(ModelPool& pool, ReplyTask& task) {
  Prepared prepared;
  TRY_ASSIGN(prepared.lease, pool.acquire(task.model, task.keep_alive));
  TRY(apply_model_options(prepared.lease.stored.parameters, task));
  TRY_ASSIGN(prepared.prompt, encode_prompt(task, prepared.lease.stored, prepared.lease.engine->model()));
  return prepared;
}

}  // namespace

void run_reply(ModelPool& pool, ReplyTask task, std::unique_ptr<ReplyWriter> writer, ReplyDelivery delivery,
               const std::shared_ptr<Exchange>& exchange) {
  if (exchange->is_gone()) return;
  Result<Prepared> prepared = prepare(pool, task);
  if (!prepared) return exchange->respond(delivery.refuse(prepared.error()));
  const bool is_chat = std::holds_alternative<ChatPrompt>(task.prompt);
  RunningReply::Parts parts;
  parts.lease = std::move(prepared->lease);
  parts.start.model = parts.lease.stored.name.text();
  parts.start.prompt_tokens = static_cast<int>(prepared->prompt.ids.size());
  parts.start.prompt_ids = prepared->prompt.ids;
  parts.start.load_time = parts.lease.load_time;
  parts.start.language_model = &parts.lease.engine->model();
  parts.dialect = prepared->prompt.dialect;
  parts.wanted.splits_thinking = is_chat && task.thinks.value_or(true);
  parts.wanted.finds_calls = is_chat && std::get<ChatPrompt>(task.prompt).has_tools;
  parts.writer = std::move(writer);
  parts.delivery = std::move(delivery);
  parts.exchange = exchange;
  const std::shared_ptr<Engine> engine = parts.lease.engine;
  Result<GenerationRequest> request = request_of(task, parts.lease, std::move(prepared->prompt));
  const auto reply = std::make_shared<RunningReply>(std::move(parts));
  if (!request) return reply->refuse(request.error());
  request->on_ready = [reply] { reply->ring(); };
  Result<std::vector<std::unique_ptr<ReplyStream>>> streams = engine->submit_samples(*std::move(request), task.samples);
  if (!streams) return reply->refuse(streams.error());
  reply->begin(*std::move(streams));
}

}  // namespace hotaru::server
