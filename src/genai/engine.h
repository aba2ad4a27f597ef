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
#include <vector>

#include "base/result.h"
#include "genai/generator.h"
#include "genai/language_model.h"

namespace hotaru {

// Names a context of one engine; never used twice.
enum class ContextId : uint64_t {};

struct EngineOptions {
  int queued_requests = 64;  // waiting for a place; one more is refused with kBusy
  int running_requests = 8;  // in one batch at most; 0: as many as the device decodes in one step
  int prefill_chunk = 0;     // rows of prompts in one step; 0: as many as the device takes
  int unread_pieces = 256;   // of one reply; a reader that is so far behind stops its own reply until it reads
  uint64_t reuse_bytes = 0;  // of KV pages kept for prompts that begin alike; 0: whatever contexts leave free
  bool reuses_prefixes = true;
};

// The log-probability of a token under the quantised model's own logits, before penalties, bias and temperature.
struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

// What one sampled token brings.
struct ReplyPiece {
  int32_t id = 0;
  std::string text;  // valid UTF-8, final; often empty
  float logprob = 0;
  std::vector<TokenLogprob> top;  // the most likely ones, best first; as many as were asked for
};

struct GenerationRequest {
  // In this context, behind what it holds. Nothing: in a context of its own, which is kept for prompts that begin
  // alike.
  std::optional<ContextId> context;
  int adapter = kNoAdapter;  // of a request without a context
  std::vector<int32_t> ids;
  bool replaces = false;  // `ids` are the whole context from now on; what it shares with the old ids stays stored
  bool resumes = false;   // goes on with the context's cut reply: `ids` is empty, sampling and stops are that reply's
  GenerationOptions options;
  std::vector<std::string> stop;  // stop strings
  bool continues_text = false;    // the reply goes on after other text (a raw prompt), for the detokeniser
  int top_logprobs = -1;          // -1: no logprobs at all; 0: of the sampled token only
  // Called on the engine's thread whenever there is something to read; must return at once. May be empty.
  std::function<void()> on_ready;
};

// One reply on its way. Destroying it aborts the reply.
class ReplyStream {
 public:
  virtual ~ReplyStream() = default;
  // The pieces since the last read, at least one, in order; none: the reply has ended, and result() says how. Waits for
  // `timeout`, which every step of the prompt and every token begins anew; kTimeout after it. Zero does not wait.
  virtual Result<std::vector<ReplyPiece>> read(std::chrono::milliseconds timeout) = 0;
  // Ends the reply within one token (one chunk of the prompt).
  virtual void abort() = 0;
  [[nodiscard]] virtual bool has_ended() const = 0;
  // After the end.
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
  uint64_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0;  // since the start
  uint64_t kv_bytes_used = 0, kv_bytes = 0;
};

// A context that a reply is written in is busy: what would change it is refused with kBusy until the reply has ended.
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
  [[nodiscard]] virtual EngineState state() const = 0;
};

}  // namespace hotaru
