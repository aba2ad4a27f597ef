// A chat: messages on one side, one context of an engine on the other. Every turn renders the whole chat; what the
// context holds of it already is not computed again, and the result is the same as with a fresh context. A context that
// holds text beside the chat (a raw prompt) is never rendered again: new messages follow behind.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "genai/engine.h"

namespace hotaru {

struct PromptPart {
  enum class Kind { kMessage, kText, kIds };
  Kind kind = Kind::kMessage;
  std::string text = {};          // a message as a JSON object, or text as it stands
  std::vector<int32_t> ids = {};  // kIds
};

// `role` and `content` as a JSON object.
Result<std::string> message_json(std::string_view role, std::string_view content);

struct TurnOptions {
  GenerationOptions generation;
  std::vector<std::string> stop;
  bool continues_text = false;
  int top_logprobs = -1;
  std::function<void()> on_ready;
  int samples = 1;  // replies to this prompt, with seeds that follow each other; the chat goes on with the first
};

class Conversation {
 public:
  static Result<Conversation> create(std::shared_ptr<Engine> engine, int adapter = kNoAdapter);
  static Result<Conversation> load(std::shared_ptr<Engine> engine, const std::string& path);
  Conversation(Conversation&& other) noexcept;
  Conversation& operator=(Conversation&& other) noexcept;
  ~Conversation();

  [[nodiscard]] Result<Conversation> fork() const;
  [[nodiscard]] Result<void> save(const std::string& path) const;

  // The system message of the turns to come; empty: none.
  void set_system(std::string text) { system_ = std::move(text); }
  [[nodiscard]] const std::string& system() const { return system_; }

  // Text between these marks in the assistant's messages (a model's reasoning) is left out of the prompts to come; a
  // reply that begins in the middle of it or is cut there, too. Empty marks: everything is kept.
  void set_dropped_marks(std::string begin, std::string end) {
    dropped_begin_ = std::move(begin);
    dropped_end_ = std::move(end);
  }

  // A turn: begin() or resume(), the stream read to its end, then finish() with what it says, or drop() when it failed;
  // nothing else of this class meanwhile. A reply, even a cut one, becomes part of the chat; after an error the chat is
  // as before.
  struct Turn {
    std::unique_ptr<ReplyStream> stream;
    std::vector<std::unique_ptr<ReplyStream>> others;  // the other samples, which leave no trace in the chat
    std::vector<int32_t> prompt_ids;                   // of the whole chat, or behind what the context holds
    int dropped_messages = 0;  // the chat's oldest, for which there was no room (WhenFull::kShift)
  };
  // No parts: a reply to what is there already.
  Result<Turn> begin(std::vector<PromptPart> parts, const TurnOptions& options);
  // Whether the last reply was cut and the chat ends with what there is of it.
  [[nodiscard]] bool can_resume() const { return ends_with_cut_ && context_state().has_cut_reply; }
  // Goes on with that reply.
  Result<Turn> resume(TurnOptions options);
  void finish(const Reply& reply);
  void drop();

  // The turns to come are written with this adapter (or none: kNoAdapter); it reads the earlier ones anew.
  Result<void> set_adapter(int adapter) { return engine_->set_adapter(context_, adapter); }

  // Forgets all turns; the system message stays.
  Result<void> clear();
  [[nodiscard]] const std::vector<std::string>& messages() const { return messages_; }  // JSON objects
  [[nodiscard]] ContextState context_state() const;
  [[nodiscard]] Engine& engine() const { return *engine_; }

 private:
  Conversation(std::shared_ptr<Engine> engine, ContextId context) : engine_(std::move(engine)), context_(context) {}
  [[nodiscard]] std::string without_dropped(const std::string& message) const;
  [[nodiscard]] Result<std::string> list_of(std::span<const std::string> messages) const;
  [[nodiscard]] Result<std::vector<int32_t>> encode_messages(std::span<const std::string> messages) const;
  Result<std::vector<int32_t>> encode_behind(std::span<const PromptPart> parts) const;
  Result<Turn> begin_chat(std::span<const PromptPart> parts, TurnOptions options);
  Result<Turn> begin_raw(std::span<const PromptPart> parts, const TurnOptions& options);
  Result<int> drop_oldest(std::vector<int32_t>& ids);
  Result<void> keep_opening(GenerationOptions& options, std::span<const int32_t> ids) const;
  Result<void> submit(GenerationRequest request, const TurnOptions& options, Turn& turn);

  // The turn in progress.
  struct Pending {
    std::vector<std::string> messages;  // the chat with the new ones
    bool is_raw = false;
    bool resumes = false;
    bool wants_reply = true;
    std::string recovery;  // text of the recovery sequence, if the reply is cut
  };

  std::shared_ptr<Engine> engine_;  // none when moved from
  ContextId context_{};
  std::string system_;
  std::string dropped_begin_, dropped_end_;
  std::vector<std::string> messages_;
  bool is_raw_ = false;
  std::string reply_;     // the last message is the assistant's and says this
  std::string recovery_;  // and this behind it, because it was cut
  bool ends_with_cut_ = false;
  Pending pending_;
};

}  // namespace hotaru
