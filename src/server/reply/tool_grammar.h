// What a reply must look like when it has to be a call of a tool, or must obey a grammar and may think before.
#pragma once

#include <optional>

#include "base/json.h"
#include "base/result.h"
#include "server/reply/reply_parts.h"
#include "server/reply/reply_task.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace hotaru::server {

// The reply is one call or several, as the dialect writes them, with arguments that satisfy the tool's schema. `tools`:
// [{"type": "function", "function": {"name": ..., "parameters": ...}}, ...].
Result<GrammarSpec> tool_grammar(const ReplyDialect& dialect, const Json& tools, const ToolUse& use,
                                 const Tokenizer& tokenizer);

// The same text behind the model's reasoning; itself for a model that does not reason.
Result<GrammarSpec> after_reasoning(const ReplyDialect& dialect, const GrammarSpec& spec);

// What the task's reply must obey, whichever way the task says it. `dialect` as of its prompt.
Result<std::optional<GrammarSpec>> grammar_of(const ReplyTask& task, const ReplyDialect& dialect,
                                              const Tokenizer& tokenizer);

}  // namespace hotaru::server
