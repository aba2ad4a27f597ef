// POST /v1/chat/completions: what is asked.
#pragma once

#include <string>

#include "server/openai/tools.h"
#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

struct ChatRequest {
  ReplyTask task;
  bool streams = false;
  bool includes_usage = false;  // in a stream
};

// Errors are in `fields`.
ChatRequest parse_chat_request(Fields& fields);

// Shared with the other endpoints.
// stream, stream_options.include_usage
void read_stream(Fields& fields, bool& streams, bool& includes_usage);
// reasoning_effort, or effort of an object: "none" and "minimal" keep a model from reasoning.
std::optional<bool> read_effort(Fields& fields, std::string_view name);
// `messages`, the tools and vLLM's chat_template_kwargs as the task's prompt.
void set_chat_prompt(Fields& fields, std::string messages_json, const RequestedTools& tools, ReplyTask& task);

}  // namespace hotaru::server
