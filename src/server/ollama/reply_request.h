// What /api/generate and /api/chat ask for, as a task.
#pragma once

#include <string_view>

#include "base/result.h"
#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

struct OllamaReplyRequest {
  ReplyTask task;
  bool streams = true;
  bool only_loads = false;     // an empty prompt, no messages: loads the model, or unloads it with keep_alive 0
  bool wants_context = false;  // of /api/generate without raw: the reply ends with its ids
};

Result<OllamaReplyRequest> parse_generate(std::string_view body);
Result<OllamaReplyRequest> parse_chat(std::string_view body);
// The same in a context that the client holds: the model, its adapter and the earlier messages are the context's. Tools
// and `think` are refused.
struct ContextReplyRequest {
  OllamaReplyRequest reply;  // without a prompt
  Json messages;             // behind those of the context
};
Result<ContextReplyRequest> parse_chat_in_context(std::string_view body);

// Both, and /api/embed: "model", "keep_alive", "options".
void read_model_fields(Fields& fields, ReplyTask& task);

}  // namespace hotaru::server
