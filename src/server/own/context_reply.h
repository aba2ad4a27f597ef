// POST /hotaru/v1/contexts/{id}/chat and .../resume: replies in a context that the client holds, in the words of
// Ollama's /api/chat.
#pragma once

#include <memory>

#include "server/own/held_contexts.h"
#include "server/reply/reply_parts.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {

enum class ContextTurn {
  kChat,    // messages behind those of the context
  kResume,  // the cut reply goes on with exactly the tokens that it would have had
};

// How the model's template has it.
ReplyDialect dialect_of(const LanguageModel& model);

// 409: a reply is being written in it already.
HttpResponse busy_response(const HeldContext& context, const SharedExchange& exchange);

// A client that leaves cuts the reply; what was written until then stays in the context.
void answer_in_context(const std::shared_ptr<HeldContext>& context, ContextTurn turn, const SharedExchange& exchange);

}  // namespace hotaru::server
