// The chat of `hotaru run`: lines from the terminal, replies streamed to stdout, commands that begin with '/'.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/run_settings.h"
#include "cli/text_output.h"
#include "genai/conversation.h"

namespace hotaru::cli {

class Chat {
 public:
  // The model must outlive the chat.
  static Result<Chat> create(const LanguageModel& model, const RunSettings& settings);

  enum class Next { kGoOn, kLeave };
  // One message or command (the lines of a `"""` message joined). Text of replies goes to stdout, everything else to
  // stderr; errors are shown and the chat goes on.
  Next take(const std::string& message);

  // Reads from the terminal until the user leaves.
  Result<void> play();

 private:
  Chat(const LanguageModel& model, RunSettings settings, Conversation conversation)
      : model_(&model),
        settings_(std::move(settings)),
        conversation_(std::move(conversation)),
        unreported_load_seconds_(model.load_seconds()) {}
  void reply_to(const std::string& message);
  Next command(const std::string& line);
  void choose_adapter(const std::string& name);
  void set(const std::string& arguments);
  void show() const;

  const LanguageModel* model_;
  RunSettings settings_;
  Conversation conversation_;
  TextOutput output_;
  double unreported_load_seconds_;
};

}  // namespace hotaru::cli
