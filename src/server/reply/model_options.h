// Ollama's `options`: of a request, or what a made model says for requests that say nothing.
#pragma once

#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

// Sets in `task` what the options name. Options of other engines (num_gpu, mirostat, ...) and unknown ones are passed
// over, as Ollama does; those that Ollama knows must have their type.
void read_model_options(Fields& options, ReplyTask& task);

// Fills in what the task leaves open. kInvalid: the stored options have a wrong type.
Result<void> apply_model_options(const Json& options, ReplyTask& task);

}  // namespace hotaru::server
