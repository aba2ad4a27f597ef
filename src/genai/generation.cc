#include "genai/generation.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "genai/logprobs.h"

namespace hotaru {
namespace {

static_assert(std::endian::native == std::endian::little, "logits are hashed in memory order");

double seconds_between(std::chrono::steady_clock::time_point start, std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

Error context_full(const Context& context) {
  return make_error(ErrorKind::kNoMemory, "the context is full: got {} tokens, want at most {}", context.ids().size(),
                    context.capacity_tokens());
}

bool allows_any(std::span<const uint64_t> allowed, size_t vocabulary) {
  const size_t whole = std::min(allowed.size(), vocabulary / 64);
  if (std::any_of(allowed.begin(), allowed.begin() + static_cast<ptrdiff_t>(whole),
                  [](uint64_t w) { return w != 0; })) {
    return true;
  }
  const uint64_t rest = (uint64_t{1} << (vocabulary % 64)) - 1;
  return whole < allowed.size() && (allowed[whole] & rest) != 0;
}

}  // namespace

Generation::Generation(Context& context, GenerationOptions options, Outlets outlets)
    : context_(&context),
      options_(std::move(options)),
      outlets_(std::move(outlets)),
      sampler_(options_.sampling, context.device().info().vocabulary) {}

Result<Generation> Generation::begin(Context& context, GenerationOptions options, Outlets outlets,
                                     std::span<const int32_t> earlier) {
  if (context.ids().empty()) return invalid("the prompt has no tokens, want at least one");
  Generation generation(context, std::move(options), std::move(outlets));
  const GenerationOptions& own = generation.options_;
  for (const int32_t id : earlier) generation.sampler_.skip(id);
  const auto most = own.max_tokens >= 0 ? own.max_tokens : context.capacity_tokens();
  generation.generated_.reserve(earlier.size() + static_cast<size_t>(std::min(most, context.capacity_tokens())) + 1);
  generation.generated_.assign(earlier.begin(), earlier.end());
  generation.earlier_tokens_ = earlier.size();
  if (own.make_token_mask && own.max_tokens != 0) {
    generation.token_mask_ = own.make_token_mask();
    generation.token_mask_->begin(generation.generated_);
  }
  if (own.max_tokens != 0 || generation.reader() != nullptr) context.make_last_pending();
  generation.reply_.prefilled_tokens = context.pending_tokens();
  return generation;
}

bool Generation::prepare() {
  if (has_ended_) return false;
  if (options_.abort != nullptr && options_.abort->load(std::memory_order_relaxed)) {
    end_cut(ReplyStatus::kAborted);
    return false;
  }
  const auto capacity = static_cast<size_t>(context_->capacity_tokens());
  while (!has_ended_ && context_->ids().size() > capacity) give_way(context_full(*context_));
  if (!has_ended_ && context_->pending_tokens() == 0) finish_step();  // nothing to store, no logits wanted
  return !has_ended_;
}

bool Generation::shift() {
  const int keep = options_.keep_tokens >= 0 ? options_.keep_tokens : context_->capacity_tokens() / 4;
  if (!context_->shift(keep)) return false;
  reply_.shifts++;
  return true;
}

void Generation::give_way(Error no_memory) {
  if (options_.when_full == WhenFull::kShift && shift()) return;
  // A prompt that does not fit is an error, whatever the policy: there is no reply yet that could stop.
  if (options_.when_full == WhenFull::kError || generated_.empty()) {
    fail(std::move(no_memory));
  } else {
    end_cut(ReplyStatus::kContextFull);
  }
}

bool Generation::finish_step() {
  if (context_->pending_tokens() > 0) return false;
  has_prompt_stored_ = true;
  if (options_.max_tokens == 0) {
    reply_.timing.prefill_seconds = seconds_between(start_, Clock::now());
    end(ReplyStatus::kMaxTokens);
    return false;
  }
  return true;
}

// Nothing: no token is allowed.
Result<std::optional<int32_t>> Generation::sample(std::span<const float> logits) {
  if (options_.hash_logits) hash_.update(std::as_bytes(logits));
  if (!token_mask_) return std::optional(sampler_.sample(logits));
  TRY_ASSIGN(const std::span<const uint64_t> allowed, token_mask_->allowed());
  if (!allows_any(allowed, logits.size())) return std::optional<int32_t>();
  return std::optional(sampler_.sample(logits, allowed));
}

// The text that goes out with a sampled token, all of it if the token ends the reply.
Result<std::string> Generation::text_after(int32_t id, std::optional<ReplyStatus>& ending) {
  std::string text;
  const bool is_stop_id = std::find(options_.stop_ids.begin(), options_.stop_ids.end(), id) != options_.stop_ids.end();
  if (is_stop_id) {
    ending = ReplyStatus::kLogicalEnd;
  } else if (outlets_.text != nullptr) {
    TRY_ASSIGN(text, outlets_.text->push(id));
    if (outlets_.text->stopped()) ending = ReplyStatus::kLogicalEnd;
  }
  if (!ending && std::cmp_equal(new_tokens(), options_.max_tokens)) ending = ReplyStatus::kMaxTokens;
  if (ending && outlets_.text != nullptr) {
    TRY_ASSIGN(const std::string rest, outlets_.text->finish());
    text += rest;
  }
  return text;
}

void Generation::accept(std::span<const float> logits) {
  CHECK(!has_ended_);
  if (new_tokens() == 0) reply_.timing.prefill_seconds = seconds_between(start_, Clock::now());
  Result<std::optional<int32_t>> sampled = sample(logits);
  if (!sampled) {
    fail(std::move(sampled).error());
    return;
  }
  const std::optional<int32_t> id = *sampled;
  if (!id) {
    end_cut(ReplyStatus::kLogicalEnd);
    return;
  }
  ReplyPiece piece;
  piece.id = *id;
  if (outlets_.top_logprobs >= 0) add_logprobs(logits, outlets_.top_logprobs, piece);
  context_->append({&*id, 1});
  generated_.push_back(*id);
  if (new_tokens() == 1) {
    first_token_at_ = Clock::now();
    reply_.timing.first_token_seconds = seconds_between(start_, first_token_at_);
  }
  std::optional<ReplyStatus> ending;
  Result<std::string> text = text_after(*id, ending);
  if (!text) {
    fail(std::move(text).error());
    return;
  }
  piece.text = *std::move(text);
  emit(std::move(piece));
  if (ending) {
    end(*ending);
  } else if (is_unheard_) {
    end_cut(ReplyStatus::kAborted);
  } else if (token_mask_) {
    token_mask_->begin(generated_);
  }
}

void Generation::emit(ReplyPiece&& piece) {
  reply_.text += piece.text;
  if (outlets_.on_piece && !outlets_.on_piece(std::move(piece))) is_unheard_ = true;
}

void Generation::abort() {
  if (!has_ended_) end_cut(ReplyStatus::kAborted);
}

// An end that no token brought: text may be held back still.
void Generation::end_cut(ReplyStatus status) {
  if (outlets_.text != nullptr) {
    Result<std::string> rest = outlets_.text->finish();
    if (!rest) {
      fail(std::move(rest).error());
      return;
    }
    if (!rest->empty()) emit({.id = -1, .text = *std::move(rest), .logprob = 0, .top = {}});
  }
  end(status);
}

void Generation::end(ReplyStatus status) {
  has_ended_ = true;
  reply_.status = status;
  reply_.token_ids.assign(generated_.begin() + static_cast<ptrdiff_t>(earlier_tokens_), generated_.end());
  if (new_tokens() > 1) reply_.timing.decode_seconds = seconds_between(first_token_at_, Clock::now());
  if (outlets_.text != nullptr) reply_.stop_string = outlets_.text->matched();
  if (options_.hash_logits) reply_.logits_sha256 = hash_.finish_hex();
  const bool was_cut = status == ReplyStatus::kMaxTokens || status == ReplyStatus::kAborted;
  if (error_ || !was_cut || options_.max_tokens == 0) return;
  context_->append(options_.recovery_ids);
  recovery_tokens_ = static_cast<int>(options_.recovery_ids.size());
}

void Generation::fail(Error error) {
  error_ = std::move(error);
  end(ReplyStatus::kContextFull);
}

}  // namespace hotaru
