// A reply that is being read: the engine's stream on one side, the LLM's conversation, which takes the reply at the
// end, on the other.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "api/llm_state.h"
#include "hotaru/genai/llm_generator.h"

namespace hotaru::genai {

class LLMGeneratorCompletion::Impl {
 public:
  // The state's conversation has begun this turn.
  Impl(std::shared_ptr<LlmState> state, Conversation::Turn turn, std::optional<uint64_t> seed);
  // Another sample: of no conversation; the state keeps the model alive.
  Impl(std::shared_ptr<LlmState> state, std::unique_ptr<ReplyStream> stream, size_t dropped_messages,
       std::optional<uint64_t> seed);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  // Nothing: the reply has ended.
  Result<std::optional<ReplyPiece>> read_piece(std::chrono::milliseconds timeout);
  void abort();

  [[nodiscard]] Status status() const { return status_; }
  [[nodiscard]] size_t generated_tokens() const { return generated_tokens_; }
  [[nodiscard]] size_t prefilled_tokens() const { return prefilled_tokens_; }
  [[nodiscard]] size_t shifts() const { return shifts_; }
  [[nodiscard]] size_t dropped_messages() const { return dropped_messages_; }
  [[nodiscard]] std::optional<uint64_t> seed() const { return seed_; }

 private:
  Result<std::optional<ReplyPiece>> next_piece(std::chrono::milliseconds timeout);
  void look_for_end();
  void close(bool has_failed);

  std::shared_ptr<LlmState> state_;
  const bool is_of_conversation_;
  std::unique_ptr<ReplyStream> stream_;
  std::mutex read_mutex_;  // guards what follows
  std::deque<ReplyPiece> unread_;
  std::optional<Error> failure_;  // came with the last piece; for the next read
  bool is_closed_ = false;
  std::atomic<Status> status_ = Status::GENERATING;
  std::atomic<size_t> generated_tokens_ = 0, prefilled_tokens_ = 0, shifts_ = 0;
  const size_t dropped_messages_;
  const std::optional<uint64_t> seed_;
};

}  // namespace hotaru::genai
