// The chat of `hotaru run`: lines from the terminal, replies streamed to stdout, commands that begin with '/'.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cli/run_settings.h"
#include "cli/text_output.h"
#include "genai/conversation.h"

namespace hotaru::cli {

class Chat {
 public:
  static Result<Chat> create(std::shared_ptr<Engine> engine, const RunSettings& settings);

  // Goes on from a context file: its messages, system message and adapter take the place of the chat's.
  Result<void> load(const std::string& path);
  Result<void> save(const std::string& path) const;

  enum class Next { kGoOn, kLeave };
  // One message or command (the lines of a `"""` message joined). Text of replies goes to stdout, everything else to
  // stderr; errors are shown and the chat goes on.
  Next take(const std::string& message);

  // Reads from the terminal until the user leaves.
  Result<void> play();

 private:
  Chat(std::shared_ptr<Engine> engine, RunSettings settings, Conversation conversation)
      : engine_(std::move(engine)),
        settings_(std::move(settings)),
        conversation_(std::move(conversation)),
        unreported_load_seconds_(model().load_seconds()) {}
  [[nodiscard]] const LanguageModel& model() const { return engine_->model(); }
  void reply_to(const std::string& message);
  void resume();
  Result<Reply> read(Result<Conversation::Turn> turn);
  void show_reply(const Result<Reply>& reply);
  Next command(const std::string& line);
  void choose_adapter(const std::string& name);
  void clear();
  void set(const std::string& arguments);
  void show() const;

  std::shared_ptr<Engine> engine_;
  RunSettings settings_;
  Conversation conversation_;
  TextOutput output_;
  double unreported_load_seconds_;
};

}  // namespace hotaru::cli
