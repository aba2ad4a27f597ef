// A chat: messages on one side, one context of the device on the other. Every turn renders the whole chat; what the
// context holds of it already is not computed again, and the result is the same as with a fresh context.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "genai/language_model.h"

namespace hotaru {

class Conversation {
 public:
  // The model must outlive the conversation.
  static Result<Conversation> create(const LanguageModel& model, int adapter = kNoAdapter);

  // The system message of the turns to come; empty: none.
  void set_system(std::string text) { system_ = std::move(text); }
  [[nodiscard]] const std::string& system() const { return system_; }

  // One turn. The reply, even a cut one, becomes part of the chat; after an error the chat is as before.
  Result<Reply> send(std::string_view user_text, const GenerationOptions& options, const std::vector<std::string>& stop,
                     const OnText& on_text);

  // The turns to come are written with this adapter (or none: kNoAdapter); it reads the earlier ones anew.
  void set_adapter(int adapter) { context_.set_adapter(adapter); }

  // Forgets all turns; the system message stays.
  void clear();
  [[nodiscard]] const std::vector<Message>& turns() const { return turns_; }
  [[nodiscard]] const Context& context() const { return context_; }

 private:
  Conversation(const LanguageModel& model, Context context) : model_(&model), context_(std::move(context)) {}
  const LanguageModel* model_;
  Context context_;
  std::string system_;
  std::vector<Message> turns_;
};

}  // namespace hotaru
