// Many replies at once on one device: contexts, a bounded queue of requests, and one thread of its own that plays the
// steps (scheduler.h says which rows go into one). Every method may be called from any thread. What a reply says does
// not depend on who else is in the batch.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "genai/generator.h"
#include "genai/language_model.h"
#include "genai/reading.h"
#include "genai/reply.h"

namespace hotaru {

// Names a context of one engine; never used twice.
enum class ContextId : uint64_t {};

struct EngineOptions {
  int queued_requests = 64;  // waiting for a place; one more is refused with kBusy
  int running_requests = 8;  // in one batch at most; 0: as many as the device decodes in one step
  int prefill_chunk = 0;     // rows of prompts in one step; 0: as many as the device takes, 128 beside a decoding reply
  int unread_pieces = 256;   // of one reply; a reader that is so far behind stops its own reply until it reads
  uint64_t reuse_bytes = 0;  // of KV pages kept for prompts that begin alike; 0: whatever contexts leave free
  bool reuses_prefixes = true;
};

struct GenerationRequest {
  // In this context, behind what it holds. Nothing: in a context of its own, which is kept for prompts that begin
  // alike.
  std::optional<ContextId> context;
  int adapter = kNoAdapter;  // of a request without a context
  std::vector<int32_t> ids;  // as the tokenizer gives them: the HEF's prefix tokens need not be taken off
  bool replaces = false;     // `ids` are the whole context from now on; what it shares with the old ids stays stored
  bool resumes = false;  // goes on with the context's cut reply: `ids` is empty, sampling and stops are that reply's
  GenerationOptions options;      // without `abort`
  std::vector<std::string> stop;  // stop strings
  bool continues_text = false;    // the reply goes on after other text (a raw prompt), for the detokeniser
  int top_logprobs = -1;          // -1: no logprobs at all; 0: of the sampled token only
  // Called on the engine's thread whenever there is something to read. Must return at once, not call the engine and not
  // destroy the stream. Not called any more once the stream is destroyed. May be empty.
  std::function<void()> on_ready;
};

// One reply on its way. Destroying it aborts the reply; it may outlive the engine. One thread reads; abort() and
// has_ended() may be called from any.
class ReplyStream {
 public:
  virtual ~ReplyStream() = default;
  // The pieces since the last read, at least one, in order; none: the reply has ended, and result() says how. Waits for
  // `timeout`, which every step of the prompt and every token begins anew; kTimeout after it. Zero does not wait. When
  // the reply failed (WhenFull::kError, a prompt too long), the error follows after the last pieces.
  virtual Result<std::vector<ReplyPiece>> read(std::chrono::milliseconds timeout) = 0;
  // Ends the reply within one token (one chunk of the prompt).
  virtual void abort() = 0;
  [[nodiscard]] virtual bool has_ended() const = 0;
  // Tokens of the prompt that were stored when the reply began; 0 before its first piece.
  [[nodiscard]] virtual int reused_tokens() const = 0;
  // After the end. What was generated, even if the reply failed.
  [[nodiscard]] virtual const Reply& result() const = 0;
};

struct ContextState {
  std::vector<int32_t> ids;
  int stored_tokens = 0;  // of them, in the device
  int capacity_tokens = 0;
  int adapter = kNoAdapter;
  bool has_cut_reply = false;  // GenerationRequest.resumes will go on
  bool is_busy = false;        // a reply is being written
};

struct EngineState {
  int queued_requests = 0, running_requests = 0, contexts = 0;
  int paused_requests = 0;  // of the running ones: until their readers catch up, they leave their places to others
  uint64_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0;  // since the start
  uint64_t kv_bytes_used = 0, kv_bytes = 0;
};

// A context that a reply is written in is busy: what would change it is refused with kBusy until the reply has ended; a
// reply that was aborted has. Destroying the engine aborts every reply.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(LanguageModel model, const EngineOptions& options);
  virtual ~Engine() = default;
  [[nodiscard]] virtual const LanguageModel& model() const = 0;

  virtual Result<ContextId> create_context(int adapter) = 0;
  // Shares the pages; each side copies a page before it writes into it.
  virtual Result<ContextId> fork_context(ContextId context) = 0;
  virtual Result<void> clear_context(ContextId context) = 0;
  virtual Result<void> set_adapter(ContextId context, int adapter) = 0;
  virtual void destroy_context(ContextId context) = 0;
  [[nodiscard]] virtual Result<ContextState> context_state(ContextId context) const = 0;
  // `host_state`: bytes of the caller's (a chat's messages), kept in the file and given back by load_context.
  virtual Result<void> save_context(ContextId context, const std::string& path, std::string_view host_state) = 0;
  struct LoadedContext {
    ContextId context{};
    std::string host_state;
  };
  virtual Result<LoadedContext> load_context(const std::string& path) = 0;

  virtual Result<std::unique_ptr<ReplyStream>> submit(GenerationRequest request) = 0;
  // `samples` replies to one prompt, which is computed once: sample i is what submit() gives with seed + i. With a
  // context, sample 0 is written there, each of the others in a fork of it that is not kept.
  virtual Result<std::vector<std::unique_ptr<ReplyStream>>> submit_samples(GenerationRequest request, int samples) = 0;
  // Reads a text: scores, an embedding, no reply. It takes a place like a reply and goes through the device in chunks
  // beside the others. kInvalid: longer than the device's context (by one more token when there is no embedding).
  virtual Result<ReadingTicket> submit_reading(ReadingRequest request) = 0;
  // Takes no more requests (kBusy) and waits until every reply has ended: true. False: not within `timeout`.
  virtual bool drain(std::chrono::milliseconds timeout) = 0;
  [[nodiscard]] virtual EngineState state() const = 0;
};

}  // namespace hotaru
