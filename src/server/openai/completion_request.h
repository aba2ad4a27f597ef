// POST /v1/completions: what is asked.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

struct CompletionRequest {
  ReplyTask task;  // of each prompt, but without it; `samples` are made
  std::vector<RawPrompt> prompts;
  int choices = 1;  // of the samples of each prompt: the likeliest are the answer
  int logprobs = -1;
  bool echoes = false;
  bool streams = false;
  bool includes_usage = false;
};

// Errors are in `fields`.
CompletionRequest parse_completion_request(Fields& fields);
// A string, a list of strings, a list of token ids, or a list of such lists.
std::vector<RawPrompt> read_prompts(Fields& fields, std::string_view name);

}  // namespace hotaru::server
