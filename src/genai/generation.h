// One reply as a state machine: what must go through the device next, what the logits after it bring, and what ends it.
// It plays no step itself: a Scheduler does, for one generation or for many.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "genai/context.h"
#include "genai/reply.h"
#include "genai/reply_text.h"
#include "genai/sampler.h"
#include "genai/sampling_params.h"
#include "genai/token_mask.h"
#include "text/grammar.h"

namespace hotaru {

class TextReader;

// What happens when the context has no room for the next token.
enum class WhenFull {
  kError,  // the reply fails; what was generated stays in the context
  kStop,   // the reply ends with kContextFull
  // The context forgets: of what is behind the first `keep_tokens` the older half; the reply counts it in `shifts`.
  kShift,
};

struct GenerationOptions {
  SamplingParams sampling;
  int max_tokens = -1;            // generated ids, special ones included; 0: prefill only; -1: what the context holds
  std::vector<int32_t> stop_ids;  // end of turn, end of text: kept in token_ids and in the context, not in the text
  // Appended to the context, not counted, after a cut (kMaxTokens, kAborted), so that the next turn finds the reply
  // closed. Usually the end of turn.
  std::vector<int32_t> recovery_ids;
  WhenFull when_full = WhenFull::kStop;
  int keep_tokens = -1;  // of kShift; -1: a quarter of what the context can hold
  // Called once for each reply (for each of several samples). May be empty.
  std::function<std::unique_ptr<TokenMask>()> make_token_mask;
  std::optional<GrammarSpec> grammar;  // of that mask (obey_grammar), kept with a cut reply
  int prefill_chunk = 0;               // tokens of one prefill step; 0: as many as the device takes
  bool hash_logits = false;
  const std::atomic<bool>* abort = nullptr;  // ends the reply within one token (or one prefill chunk)
};

// For the device's thread. What it generates depends on the context's ids and adapter and on the options, on nothing
// else.
class Generation {
 public:
  struct Outlets {
    ReplyText* text = nullptr;     // turns ids into text and looks for stop strings; nullptr: ids only
    int top_logprobs = -1;         // -1: no logprobs at all; 0: of the sampled token only
    TextReader* reader = nullptr;  // reads the prompt while it is stored; with max_tokens 0
    // Called with every piece; false stops the reply as an abort does. May be empty.
    std::function<bool(ReplyPiece&&)> on_piece;
  };
  // A reply after the context's ids. `earlier` are ids that this reply has generated before it was cut; they stand at
  // the end of the context, and of `outlets.text` they are known. The context and what `outlets` points to must outlive
  // the generation, and nobody else may change them before its end. options.sampling must have passed
  // check_sampling_params.
  static Result<Generation> begin(Context& context, GenerationOptions options, Outlets outlets,
                                  std::span<const int32_t> earlier = {});

  // Before a step. Ends an aborted reply; does what the policy says when the context is full. True: it wants rows, the
  // context's pending tokens.
  bool prepare();
  // The device has no page for this reply, nor will one become free.
  void give_way(Error no_memory);
  // After a step, with the context's tokens marked as stored. True: it wants the logits after the last one.
  bool finish_step();
  // The logits [V] of the next token: samples it.
  void accept(std::span<const float> logits);
  // Ends the reply as aborted, if it has not ended.
  void abort();

  // A paused reply wants no rows.
  void set_paused(bool is_paused) { is_paused_ = is_paused; }
  [[nodiscard]] bool is_paused() const { return is_paused_; }

  [[nodiscard]] bool has_ended() const { return has_ended_; }
  // The pending tokens of the prompt have been stored.
  [[nodiscard]] bool has_prompt_stored() const { return has_prompt_stored_; }
  // After the end: how, if the reply failed, and what was generated in either case.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  [[nodiscard]] const Reply& reply() const { return reply_; }
  [[nodiscard]] Reply take_reply() { return std::move(reply_); }

  [[nodiscard]] Context& context() const { return *context_; }
  [[nodiscard]] TextReader* reader() const { return outlets_.reader; }
  [[nodiscard]] const GenerationOptions& options() const { return options_; }
  // All ids of this reply, the earlier ones included.
  [[nodiscard]] const std::vector<int32_t>& generated() const { return generated_; }
  // Ids at the end of the context that are not of the reply: the recovery sequence after a cut.
  [[nodiscard]] int recovery_tokens() const { return recovery_tokens_; }

 private:
  using Clock = std::chrono::steady_clock;
  Generation(Context& context, GenerationOptions options, Outlets outlets);
  [[nodiscard]] size_t new_tokens() const { return generated_.size() - earlier_tokens_; }
  [[nodiscard]] bool shift();
  [[nodiscard]] Result<std::optional<int32_t>> sample(std::span<const float> logits);
  [[nodiscard]] Result<std::string> text_after(int32_t id, std::optional<ReplyStatus>& ending);
  void end(ReplyStatus status);
  void end_cut(ReplyStatus status);
  void fail(Error error);
  void emit(ReplyPiece&& piece);

  Context* context_;
  GenerationOptions options_;
  Outlets outlets_;
  Sampler sampler_;
  std::unique_ptr<TokenMask> token_mask_;
  Sha256 hash_;
  Reply reply_;
  std::optional<Error> error_;
  std::vector<int32_t> generated_;
  size_t earlier_tokens_ = 0;
  int recovery_tokens_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point first_token_at_;
  bool has_ended_ = false;
  bool has_prompt_stored_ = false;
  bool is_paused_ = false;
  bool is_unheard_ = false;  // nobody wants more pieces
};

}  // namespace hotaru
