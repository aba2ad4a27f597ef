// Any bytes as a request of OpenAI's or Anthropic's: an error that names a field, or a task whose prompt is JSON.
#include "base/check.h"
#include "server/anthropic/messages_request.h"
#include "server/openai/chat_request.h"
#include "server/openai/completion_request.h"
#include "server/openai/embeddings.h"
#include "server/openai/responses_request.h"

namespace {

using hotaru::server::ChatPrompt;
using hotaru::server::Fields;
using hotaru::server::ReplyTask;

void check_task(const ReplyTask& task) {
  const auto* chat = std::get_if<ChatPrompt>(&task.prompt);
  if (chat == nullptr || chat->messages_json.empty()) return;  // several prompts, or a text to read
  CHECK(hotaru::parse_json(chat->messages_json, "messages").ok());
  CHECK(chat->variables_json.empty() || hotaru::parse_json(chat->variables_json, "variables").ok());
}

ReplyTask parse_as(uint8_t kind, Fields& fields) {
  switch (kind % 6) {
    case 0:
      return hotaru::server::parse_chat_request(fields).task;
    case 1:
      return hotaru::server::parse_completion_request(fields).task;
    case 2:
      return hotaru::server::parse_responses_request(fields).task;
    case 3:
      return hotaru::server::parse_messages_request(fields).task;
    case 4:
      return hotaru::server::parse_count_request(fields);
    default: {
      (void)hotaru::server::parse_embeddings_request(fields);
      ReplyTask none;
      none.prompt = hotaru::server::TextPrompt{};
      return none;
    }
  }
}

}  // namespace

// The first byte chooses the endpoint.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto body = Fields::parse_object({reinterpret_cast<const char*>(data) + 1, size - 1});
  if (!body) return 0;
  Fields fields(*body, "");
  const ReplyTask task = parse_as(data[0], fields);
  if (fields.ok()) {
    check_task(task);
  } else {
    CHECK(!fields.error().message.empty());
  }
  return 0;
}
