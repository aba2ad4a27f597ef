// What a task says about its reply, as an engine takes it.
#pragma once

#include "base/result.h"
#include "genai/generation.h"
#include "genai/language_model.h"
#include "server/reply/reply_parts.h"
#include "server/reply/reply_task.h"

namespace hotaru::server {

// What the task leaves open is as the model says. Compiles the task's grammar. `dialect`: as of its prompt. kInvalid: a
// value out of its range, a grammar that cannot be met.
Result<GenerationOptions> generation_options(const ReplyTask& task, const ReplyDialect& dialect,
                                             const LanguageModel& model);

}  // namespace hotaru::server
