// A task's prompt as the ids that its model reads.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "genai/language_model.h"
#include "server/reply/reply_parts.h"
#include "server/reply/reply_task.h"
#include "server/store/model_store.h"

namespace hotaru::server {

struct ReplyPrompt {
  std::vector<int32_t> ids;
  ReplyDialect dialect;         // of a chat; nothing is told apart in other replies
  bool continues_text = false;  // for the detokeniser
};

// kNotSupported: a chat with tools, or one that must think, for a model whose template knows no such thing. kInvalid:
// the prompt is longer than the context, or the template refuses it.
Result<ReplyPrompt> encode_prompt(const ReplyTask& task, const StoredModel& stored, const LanguageModel& model);

// A prompt that ends with the dialect's `think_begin` opens the reasoning itself; white space behind it is no matter.
bool ends_with_mark(std::string_view text, std::string_view mark);

}  // namespace hotaru::server
