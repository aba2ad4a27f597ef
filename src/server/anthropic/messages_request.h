// POST /v1/messages and /v1/messages/count_tokens: what is asked.
#pragma once

#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

struct MessagesRequest {
  ReplyTask task;
  bool streams = false;
};

// Errors are in `fields`.
MessagesRequest parse_messages_request(Fields& fields);
// Of the same fields those that make the prompt: model, system, messages, tools, tool_choice, thinking.
ReplyTask parse_count_request(Fields& fields);

}  // namespace hotaru::server
