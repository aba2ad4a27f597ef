#include "server/reply/reply_prompt.h"

#include <optional>
#include <string>
#include <utility>

#include "base/json.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

// The messages with the made model's system message in front, without the reply that was begun.
struct Messages {
  std::string json;
  std::string begun_reply;
};

Result<Messages> messages_of(const ChatPrompt& prompt, const StoredModel& stored) {
  Messages messages{prompt.messages_json, ""};
  if (stored.system.empty() && !prompt.continues_last) return messages;
  TRY_ASSIGN(Json list, parse_json(prompt.messages_json, "messages"));
  if (!list.is_array() || list.empty()) return messages;
  if (prompt.continues_last) {
    messages.begun_reply = list.back().value("content", "");
    list.erase(list.size() - 1);
  }
  if (!stored.system.empty() && (list.empty() || list.front().value("role", "") != "system")) {
    list.insert(list.begin(), Json{{"role", "system"}, {"content", stored.system}});
  }
  messages.json = json_line(list);
  return messages;
}

Result<std::string> variables_of(const ChatPrompt& prompt, std::optional<bool> thinks) {
  if (!thinks) return prompt.variables_json;
  Json variables = Json::object();
  if (!prompt.variables_json.empty()) {
    TRY_ASSIGN(variables, parse_json(prompt.variables_json, "template variables"));
  }
  variables["enable_thinking"] = *thinks;  // Qwen, SmolLM, GLM
  variables["thinking"] = *thinks;         // DeepSeek, Granite
  return json_line(variables);
}

Result<void> check_abilities(const ReplyTask& task, const ReplyDialect& dialect) {
  if (std::get<ChatPrompt>(task.prompt).has_tools && dialect.calls == ReplyDialect::Calls::kNone) {
    return not_supported("\"{}\" does not support tools", task.model);
  }
  if (task.must_think && dialect.think_begin.empty()) {
    return not_supported("\"{}\" does not support thinking", task.model);
  }
  return {};
}

Result<ReplyPrompt> encode_chat(const ReplyTask& task, const StoredModel& stored, const LanguageModel& model) {
  const ChatPrompt& chat = std::get<ChatPrompt>(task.prompt);
  const ChatTemplate* own = model.chat_template();
  std::optional<ChatTemplate> other;
  if (const std::string& source = task.chat_template.empty() ? stored.chat_template : task.chat_template;
      !source.empty() && own != nullptr) {
    Result<ChatTemplate> made = own->with_source(source);
    if (!made) return at("template (Jinja)", std::move(made).error());
    other = *std::move(made);
  }
  const ChatTemplate* chosen = other ? &*other : own;
  ReplyPrompt prompt;
  if (chosen != nullptr) prompt.dialect = ReplyDialect::of_template(chosen->source());
  TRY(check_abilities(task, prompt.dialect));
  ChatRequest request;
  TRY_ASSIGN(Messages messages, messages_of(chat, stored));
  request.messages_json = std::move(messages.json);
  const std::optional<bool> thinks = task.grammar && !task.thinks ? false : task.thinks;
  TRY_ASSIGN(request.variables_json, variables_of(chat, thinks));
  TRY_ASSIGN(std::string text, model.render_chat(request, chosen));
  text += messages.begun_reply;
  // Whether this very prompt opens the reasoning depends on its variables.
  prompt.dialect.begins_thinking = ends_with_mark(text, prompt.dialect.think_begin);
  prompt.continues_text = !messages.begun_reply.empty();
  TRY_ASSIGN(prompt.ids, model.encode_more_text(text));
  return prompt;
}

Result<void> fit(std::vector<int32_t>& ids, bool cuts, const LanguageModel& model) {
  const auto capacity = static_cast<size_t>(model.device().info().context_tokens);
  const size_t tokens = model.after_prefix(ids).size();
  if (tokens <= capacity) return {};
  if (cuts) {
    ids.resize(ids.size() - (tokens - capacity));
    return {};
  }
  return invalid("the prompt has {} tokens, want at most the {} of the context", tokens, capacity);
}

}  // namespace

bool ends_with_mark(std::string_view text, std::string_view mark) {
  const size_t end = text.find_last_not_of(" \n");
  return !mark.empty() && end != std::string_view::npos && text.substr(0, end + 1).ends_with(mark);
}

Result<ReplyPrompt> encode_prompt(const ReplyTask& task, const StoredModel& stored, const LanguageModel& model) {
  ReplyPrompt prompt;
  const bool is_behind = !task.ids_before.empty();
  if (const auto* text = std::get_if<TextPrompt>(&task.prompt)) {
    TRY_ASSIGN(prompt.ids, is_behind ? model.encode_more_text(text->text) : model.encode_text(text->text));
    prompt.continues_text = true;
  } else if (const auto* ids = std::get_if<IdsPrompt>(&task.prompt)) {
    prompt.ids = ids->ids;
    prompt.continues_text = true;
  } else {
    TRY_ASSIGN(prompt, encode_chat(task, stored, model));
  }
  prompt.ids.insert(prompt.ids.begin(), task.ids_before.begin(), task.ids_before.end());
  TRY(model.check_ids(prompt.ids));
  TRY(fit(prompt.ids, task.cuts_prompt, model));
  return prompt;
}

}  // namespace hotaru::server
