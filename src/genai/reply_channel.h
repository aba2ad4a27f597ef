// What lies between the engine, which writes a reply, and its reader: the pieces that are not read yet, at most so
// many. Nothing is dropped: a reply whose channel is full is paused by the engine.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/result.h"
#include "genai/reply.h"

namespace hotaru {

// What all readers of one engine and its thread tell each other; outlives both. Thread-safe.
class EngineSignals {
 public:
  // Something to do for the engine: a request, a reader that caught up, an abort.
  void wake();
  // Waits until wake() is called, unless it was since the last time.
  void sleep();
  // No reply is running or waiting.
  void note_idle(bool is_idle);
  [[nodiscard]] bool wait_until_idle(std::chrono::milliseconds timeout);
  // A step has been played.
  void note_step();
  [[nodiscard]] std::chrono::steady_clock::time_point last_step() const;

 private:
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  bool has_work_ = false;
  bool is_idle_ = true;
  std::atomic<std::chrono::steady_clock::rep> last_step_{0};
};

// Thread-safe: the engine's side is called from its thread, the reader's from one other.
class ReplyChannel {
 public:
  ReplyChannel(std::shared_ptr<EngineSignals> signals, size_t capacity, std::function<void()> on_ready);

  // The engine's side.
  void note_reused(int tokens) { reused_tokens_.store(tokens, std::memory_order_relaxed); }
  void push(ReplyPiece&& piece);
  // Tells the reader of what was pushed since the last time: once a step, so that readers of several replies are woken
  // together, and not between two of them.
  void announce();
  void end(Reply&& reply, std::optional<Error> error);
  [[nodiscard]] bool is_full() const;
  [[nodiscard]] const std::atomic<bool>* abort_flag() const { return &is_abort_wanted_; }
  [[nodiscard]] bool is_abort_wanted() const { return is_abort_wanted_.load(std::memory_order_relaxed); }

  // The reader's side: ReplyStream.
  Result<std::vector<ReplyPiece>> read(std::chrono::milliseconds timeout);
  void abort();
  [[nodiscard]] bool has_ended() const;
  [[nodiscard]] int reused_tokens() const { return reused_tokens_.load(std::memory_order_relaxed); }
  [[nodiscard]] const Reply& result() const;
  // Nobody reads any more: aborts, and returns when on_ready is not running and will not be called again.
  void close();

 private:
  void call_on_ready();

  const std::shared_ptr<EngineSignals> signals_;
  const size_t capacity_;
  bool has_news_ = false;     // the engine's thread's
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable readable_;
  std::vector<ReplyPiece> unread_;
  bool has_ended_ = false;
  bool is_closed_ = false;
  Reply reply_;
  std::optional<Error> error_;
  std::atomic<bool> is_abort_wanted_{false};
  std::atomic<int> reused_tokens_{0};
  std::mutex ready_mutex_;  // held while on_ready_ runs
  std::function<void()> on_ready_;
};

}  // namespace hotaru
