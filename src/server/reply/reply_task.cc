#include "server/reply/reply_task.h"

#include <optional>
#include <utility>

#include "genai/grammar_mask.h"
#include "server/reply/model_options.h"
#include "server/reply/reply_prompt.h"
#include "server/reply/running_reply.h"
#include "server/reply/tool_grammar.h"

namespace hotaru::server {
namespace {

Result<GenerationRequest> request_of(const ReplyTask& task, const ModelLease& lease, ReplyPrompt prompt) {
  const LanguageModel& model = lease.engine->model();
  const DeviceInfo& info = model.device().info();
  GenerationRequest request;
  std::optional<GrammarSpec> grammar;
  if (model.has_tokenizer()) {
    TRY_ASSIGN(grammar, grammar_of(task, prompt.dialect, *model.tokenizer()));
  } else if (task.grammar) {
    return not_supported("'{}' has no tokenizer: its replies can obey no grammar", model.name());
  }
  request.adapter = lease.adapter;
  if (!task.lora.empty()) {
    TRY_ASSIGN(request.adapter, find_adapter(info, task.lora));
  }
  request.ids = std::move(prompt.ids);
  request.continues_text = prompt.continues_text;
  request.stop = task.stop;
  request.top_logprobs = task.top_logprobs;
  GenerationOptions& options = request.options;
  options.sampling = resolve_sampling(task.sampling, model.defaults());
  TRY(check_sampling_params(options.sampling, info.vocabulary));
  options.max_tokens = task.max_tokens;
  options.stop_ids = model.defaults().eos_ids;
  if (!options.stop_ids.empty()) options.recovery_ids = {options.stop_ids.front()};
  options.when_full = task.when_full;
  options.keep_tokens = task.keep_tokens;
  if (grammar) {
    TRY_ASSIGN(const Grammar compiled,
               Grammar::compile(*model.tokenizer(), options.stop_ids, info.vocabulary, *grammar));
    options.make_token_mask = [compiled] { return make_grammar_mask(compiled); };
  }
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
