#include "genai/conversation.h"

namespace hotaru {

Result<Conversation> Conversation::create(const LanguageModel& model, int adapter) {
  TRY_ASSIGN(Context context, Context::create(model.device(), adapter));
  return Conversation(model, std::move(context));
}

Result<Reply> Conversation::send(std::string_view user_text, const GenerationOptions& options,
                                 const std::vector<std::string>& stop, const OnText& on_text) {
  std::vector<Message> messages;
  if (!system_.empty()) messages.push_back({"system", system_});
  messages.insert(messages.end(), turns_.begin(), turns_.end());
  messages.push_back({"user", std::string(user_text)});
  TRY_ASSIGN(const std::vector<int32_t> ids, model_->encode_chat(messages));
  TRY_ASSIGN(std::optional<ReplyText> text, model_->reply_text(stop, false));
  context_.replace(model_->after_prefix(ids));
  TRY_ASSIGN(Reply reply, generate(context_, options, text ? &*text : nullptr, on_text));
  turns_.push_back(std::move(messages.back()));
  turns_.push_back({"assistant", reply.text});
  return reply;
}

void Conversation::clear() {
  turns_.clear();
  context_.clear();
}

}  // namespace hotaru
