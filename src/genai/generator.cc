#include "genai/generator.h"

#include <algorithm>
#include <bit>
#include <chrono>

#include "base/check.h"
#include "base/hash.h"
#include "genai/sampler.h"

namespace hotaru {
namespace {

static_assert(std::endian::native == std::endian::little, "logits are hashed in memory order");

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Run {
 public:
  Run(Context& context, const GenerationOptions& options, ReplyText* text, const OnText& on_text)
      : context_(context),
        options_(options),
        text_(text),
        on_text_(on_text),
        sampler_(options.sampling, context.device().info().vocabulary) {}

  Result<Reply> play();

 private:
  Result<ReplyStatus> reach_end();
  Result<bool> store(int chunk);
  Result<bool> sample_ends_reply();
  void emit(std::string_view piece);

  Context& context_;
  const GenerationOptions& options_;
  ReplyText* text_;
  const OnText& on_text_;
  Sampler sampler_;
  Sha256 hash_;
  Reply reply_;
  Clock::time_point first_token_at_;
  bool is_unheard_ = false;  // nobody wants more text
};

void Run::emit(std::string_view piece) {
  if (piece.empty()) return;
  reply_.text += piece;
  if (on_text_ && !on_text_(piece)) is_unheard_ = true;
}

// Samples one token. True when the model or a stop string ends the reply.
Result<bool> Run::sample_ends_reply() {
  const std::span<const float> logits = context_.logits();
  if (options_.hash_logits) hash_.update(std::as_bytes(logits));
  const int32_t id = sampler_.sample(logits);
  context_.append({&id, 1});
  reply_.token_ids.push_back(id);
  if (std::find(options_.stop_ids.begin(), options_.stop_ids.end(), id) != options_.stop_ids.end()) return true;
  if (text_ == nullptr) return false;
  TRY_ASSIGN(const std::string piece, text_->push(id));
  emit(piece);
  return text_->stopped();
}

// Until the pending tokens are stored and the logits after them computed. False: aborted.
Result<bool> Run::store(int chunk) { return context_.store_pending(chunk, options_.max_tokens != 0, options_.abort); }

Result<ReplyStatus> Run::reach_end() {
  const Clock::time_point start = Clock::now();
  reply_.prefilled_tokens = std::max(context_.pending_tokens(), options_.max_tokens == 0 ? 0 : 1);
  const int most = context_.device().info().prefill_rows;
  TRY_ASSIGN(const bool prefilled, store(options_.prefill_chunk > 0 ? options_.prefill_chunk : most));
  reply_.timing.prefill_seconds = seconds_since(start);
  if (!prefilled) return ReplyStatus::kAborted;
  if (options_.max_tokens == 0) return ReplyStatus::kMaxTokens;
  while (true) {
    TRY_ASSIGN(const bool ended, sample_ends_reply());
    if (reply_.token_ids.size() == 1) {
      first_token_at_ = Clock::now();
      reply_.timing.first_token_seconds = seconds_since(start);
    }
    if (ended) return ReplyStatus::kLogicalEnd;
    if (std::cmp_equal(reply_.token_ids.size(), options_.max_tokens)) return ReplyStatus::kMaxTokens;
    if (is_unheard_) return ReplyStatus::kAborted;
    Result<bool> stored = store(1);
    if (!stored) {
      if (stored.error().kind != ErrorKind::kNoMemory || options_.when_full == WhenFull::kError) {
        return std::move(stored).error();
      }
      return ReplyStatus::kContextFull;
    }
    if (!*stored) return ReplyStatus::kAborted;
  }
}

Result<Reply> Run::play() {
  if (options_.when_full == WhenFull::kShift) return not_supported("a context that shifts is not supported yet");
  if (context_.ids().empty()) return invalid("the prompt has no tokens, want at least one");
  TRY_ASSIGN(reply_.status, reach_end());
  if (reply_.token_ids.size() > 1) reply_.timing.decode_seconds = seconds_since(first_token_at_);
  if (text_ != nullptr) {
    TRY_ASSIGN(const std::string rest, text_->finish());
    emit(rest);
  }
  const bool was_cut = reply_.status == ReplyStatus::kMaxTokens || reply_.status == ReplyStatus::kAborted;
  if (was_cut && options_.max_tokens != 0) context_.append(options_.recovery_ids);
  if (options_.hash_logits) reply_.logits_sha256 = hash_.finish_hex();
  return std::move(reply_);
}

}  // namespace

std::string_view reply_status_name(ReplyStatus status) {
  switch (status) {
    case ReplyStatus::kLogicalEnd:
      return "logical_end";
    case ReplyStatus::kMaxTokens:
      return "max_tokens";
    case ReplyStatus::kAborted:
      return "aborted";
    case ReplyStatus::kContextFull:
      return "context_full";
  }
  CHECK(false);
  return "";
}

Result<Reply> generate(Context& context, const GenerationOptions& options, ReplyText* text, const OnText& on_text) {
  return Run(context, options, text, on_text).play();
}

}  // namespace hotaru
