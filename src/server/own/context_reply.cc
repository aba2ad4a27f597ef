#include "server/own/context_reply.h"

#include <chrono>
#include <utility>

#include "server/ollama/reply_request.h"
#include "server/ollama/reply_writer.h"
#include "server/reply/generation_options.h"
#include "server/reply/model_options.h"
#include "server/reply/reply_prompt.h"
#include "server/reply/running_reply.h"

namespace hotaru::server {
namespace {

Result<std::vector<PromptPart>> parts_of(const Json& messages, ContextTurn turn) {
  if (turn == ContextTurn::kResume && !messages.empty()) return invalid("'messages': want none to go on with a reply");
  if (turn == ContextTurn::kChat && messages.empty()) return invalid("'messages': want one at least");
  std::vector<PromptPart> parts;
  for (const Json& message : messages) parts.push_back({.kind = PromptPart::Kind::kMessage, .text = message.dump()});
  return parts;
}

Result<Conversation::Turn> begin(HeldContext& context, ContextTurn turn, ContextReplyRequest& request,
                                 const std::shared_ptr<RunningReply>& reply) {
  ReplyTask& task = request.reply.task;
  TRY(apply_model_options(context.lease.stored.parameters, task));
  TRY_ASSIGN(std::vector<PromptPart> parts, parts_of(request.messages, turn));
  const LanguageModel& model = context.lease.engine->model();
  TurnOptions options;
  TRY_ASSIGN(options.generation, generation_options(task, reply->parts().dialect, model));
  options.stop = task.stop;
  options.top_logprobs = task.top_logprobs;
  options.on_ready = [reply] { reply->ring(); };
  if (turn == ContextTurn::kResume) return context.conversation.resume(std::move(options));
  return context.conversation.begin(std::move(parts), options);
}

// Whether the prompt ends inside of reasoning that the template has opened.
bool opens_reasoning(const LanguageModel& model, const ReplyDialect& dialect, const std::vector<int32_t>& ids) {
  constexpr size_t kTail = 16;  // tokens: more than any mark has
  if (dialect.think_begin.empty() || model.tokenizer() == nullptr) return false;
  const std::vector<int32_t> tail(ids.end() - static_cast<ptrdiff_t>(std::min(ids.size(), kTail)), ids.end());
  const Result<std::string> text = model.tokenizer()->decode(tail, false);
  return text && ends_with_mark(*text, dialect.think_begin);
}

}  // namespace

ReplyDialect dialect_of(const LanguageModel& model) {
  return model.has_chat_template() ? ReplyDialect::of_template(model.chat_template()->source()) : ReplyDialect();
}

namespace {

HttpResponse conflict(const HeldContext& context, const SharedExchange& exchange, std::string_view why) {
  return error_response(exchange->request().path, 409, fmt::format("context '{}': {}", context.id, why));
}

}  // namespace

HttpResponse busy_response(const HeldContext& context, const SharedExchange& exchange) {
  return conflict(context, exchange, "a reply is being written in it");
}

void answer_in_context(const std::shared_ptr<HeldContext>& context, ContextTurn turn, const SharedExchange& exchange) {
  const auto received = std::chrono::steady_clock::now();
  const std::string& body = exchange->request().body;
  const bool says_nothing = turn == ContextTurn::kResume && body.empty();
  Result<ContextReplyRequest> request = parse_chat_in_context(says_nothing ? "{}" : body);
  if (!request) return refuse(exchange, request.error());
  const LanguageModel& model = context->lease.engine->model();
  RunningReply::Parts parts;
  parts.lease = context->lease;
  parts.start.model = context->lease.stored.name.text();
  parts.start.language_model = &model;
  parts.dialect = dialect_of(model);
  parts.wanted.splits_thinking = turn == ContextTurn::kChat;  // a reply that goes on may be anywhere in it
  parts.writer = std::make_unique<OllamaReplyWriter>(
      OllamaReplyWriter::Options{.model = parts.start.model,
                                 .streams = request->reply.streams,
                                 .has_logprobs = request->reply.task.top_logprobs >= 0,
                                 .received = received});
  parts.delivery = {
      .streams = request->reply.streams,
      .content_type = "application/x-ndjson",
      .refuse = [path = exchange->request().path](const Error& error) { return error_response(path, error); }};
  parts.exchange = exchange;
  parts.on_end = [context](const Reply* ended) { context->end_reply(ended); };
  if (!context->begin_reply()) return exchange->respond(busy_response(*context, exchange));
  if (turn == ContextTurn::kResume && !context->conversation.can_resume()) {
    context->end_reply(nullptr);
    return exchange->respond(conflict(*context, exchange, "there is no cut reply to go on with"));
  }
  const auto reply = std::make_shared<RunningReply>(std::move(parts));
  Result<Conversation::Turn> begun = begin(*context, turn, *request, reply);
  if (!begun) {
    context->end_reply(nullptr);
    return reply->refuse(begun.error());
  }
  RunningReply::Parts& known = reply->parts();
  known.start.prompt_tokens = static_cast<int>(begun->prompt_ids.size());
  known.dialect.begins_thinking = opens_reasoning(model, known.dialect, begun->prompt_ids);
  known.start.prompt_ids = std::move(begun->prompt_ids);
  std::vector<std::unique_ptr<ReplyStream>> streams;
  streams.push_back(std::move(begun->stream));
  reply->begin(std::move(streams));
}

}  // namespace hotaru::server
