#include "server/openai/gathered_reply.h"

#include "server/reply/answer_id.h"

namespace hotaru::server {

GatheredSample::Added GatheredSample::add(const ReplyParts::Output& output, std::string_view call_prefix) {
  const Added added{calls.size()};
  thinking += output.thinking;
  content += output.content;
  for (const ToolCall& call : output.calls) calls.push_back({new_id(call_prefix), call});
  return added;
}

GatheredSample::Added GatheredSample::add(const ReplyWriter::Delta& delta, std::string_view call_prefix) {
  if (delta.piece.id >= 0) tokens++;
  const Added added = add(delta.output, call_prefix);
  if (!thinking.empty() && content.empty() && calls.empty()) reasoning_tokens = tokens;
  return added;
}

GatheredSample::Added GatheredSample::add(const ReplyWriter::End& end, std::string_view call_prefix) {
  tokens = static_cast<int>(end.reply.token_ids.size());
  has_calls = end.has_calls;
  status = end.reply.status;
  stop_string = end.reply.stop_string;
  error = end.error;
  const Added added = add(end.output, call_prefix);
  if (!thinking.empty() && content.empty() && calls.empty()) reasoning_tokens = tokens;
  return added;
}

std::string_view GatheredSample::finish_reason() const {
  if (has_calls) return "tool_calls";
  switch (status) {
    case ReplyStatus::kMaxTokens:
    case ReplyStatus::kContextFull:
      return "length";
    case ReplyStatus::kLogicalEnd:
    case ReplyStatus::kAborted:
      break;
  }
  return "stop";
}

}  // namespace hotaru::server
