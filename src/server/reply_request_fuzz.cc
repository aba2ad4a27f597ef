// Any bytes as a request of OpenAI's, Anthropic's or Ollama's: an error that says something, or a task whose prompt is
// JSON.
#include "base/check.h"
#include "server/anthropic/messages_request.h"
#include "server/ollama/reply_request.h"
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

// Of the parsers that read fields.
ReplyTask parse_as(uint8_t kind, Fields& fields) {
  switch (kind) {
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

void play_fields(uint8_t kind, std::string_view body) {
  const auto object = Fields::parse_object(body);
  if (!object) return;
  Fields fields(*object, "");
  const ReplyTask task = parse_as(kind, fields);
  if (fields.ok()) {
    check_task(task);
  } else {
    CHECK(!fields.error().message.empty());
  }
}

// Ollama's, of whole bodies.
void play_body(uint8_t kind, std::string_view body) {
  if (kind == 2) {
    const auto request = hotaru::server::parse_chat_in_context(body);
    CHECK(request ? request->messages.is_null() || request->messages.is_array() : !request.error().message.empty());
    return;
  }
  const auto request = kind == 0 ? hotaru::server::parse_generate(body) : hotaru::server::parse_chat(body);
  if (request) {
    check_task(request->task);
  } else {
    CHECK(!request.error().message.empty());
  }
}

constexpr uint8_t kFieldParsers = 6;
constexpr uint8_t kBodyParsers = 3;

}  // namespace

// The first byte chooses the endpoint.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto kind = static_cast<uint8_t>(data[0] % (kFieldParsers + kBodyParsers));
  if (kind < kFieldParsers) {
    play_fields(kind, body);
  } else {
    play_body(static_cast<uint8_t>(kind - kFieldParsers), body);
  }
  return 0;
}
