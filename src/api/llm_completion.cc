#include <atomic>
#include <deque>
#include <mutex>

#include "api/completion_impl.h"
#include "api/expected_of.h"

namespace hotaru::genai {
namespace {

Status status_of(ReplyStatus status) {
  switch (status) {
    case ReplyStatus::kLogicalEnd:
      return Status::LOGICAL_END_OF_GENERATION;
    case ReplyStatus::kMaxTokens:
      return Status::MAX_TOKENS_REACHED;
    case ReplyStatus::kAborted:
      return Status::ABORTED;
    case ReplyStatus::kContextFull:
      return Status::CONTEXT_FULL;
  }
  return Status::FAILED;
}

LLMToken token_of(ReplyPiece piece) {
  LLMToken token{piece.id, std::move(piece.text), piece.logprob, {}};
  token.top.reserve(piece.top.size());
  for (const TokenLogprob& candidate : piece.top) token.top.push_back({candidate.id, candidate.logprob});
  return token;
}

}  // namespace

LLMGeneratorCompletion::Impl::Impl(std::shared_ptr<LlmState> state, Conversation::Turn turn,
                                   std::optional<uint64_t> seed)
    : state_(std::move(state)),
      is_of_conversation_(true),
      stream_(std::move(turn.stream)),
      dropped_messages_(static_cast<size_t>(turn.dropped_messages)),
      seed_(seed) {}

LLMGeneratorCompletion::Impl::Impl(std::shared_ptr<LlmState> state, std::unique_ptr<ReplyStream> stream,
                                   size_t dropped_messages, std::optional<uint64_t> seed)
    : state_(std::move(state)),
      is_of_conversation_(false),
      stream_(std::move(stream)),
      dropped_messages_(dropped_messages),
      seed_(seed) {}

LLMGeneratorCompletion::Impl::~Impl() { abort(); }

// Once, when the stream has ended: the conversation takes the reply. `error`: it failed.
void LLMGeneratorCompletion::Impl::close(bool has_failed) {
  const Reply& reply = stream_->result();
  prefilled_tokens_ = static_cast<size_t>(reply.prefilled_tokens);
  shifts_ = static_cast<size_t>(reply.shifts);
  if (is_of_conversation_) {
    const std::lock_guard lock(state_->mutex);
    if (has_failed) {
      state_->conversation.drop();
    } else {
      state_->conversation.finish(reply);
    }
    state_->is_replying = false;
  }
  is_closed_ = true;
  status_ = has_failed ? Status::FAILED : status_of(reply.status);
}

Result<std::optional<ReplyPiece>> LLMGeneratorCompletion::Impl::next_piece(std::chrono::milliseconds timeout) {
  while (unread_.empty()) {
    if (is_closed_) return std::optional<ReplyPiece>();
    Result<std::vector<ReplyPiece>> pieces = stream_->read(timeout);
    if (!pieces) {
      if (pieces.error().kind != ErrorKind::kTimeout) close(true);
      return std::move(pieces).error();
    }
    if (pieces->empty()) {
      close(false);
      return std::optional<ReplyPiece>();
    }
    for (ReplyPiece& piece : *pieces) unread_.push_back(std::move(piece));
  }
  ReplyPiece piece = std::move(unread_.front());
  unread_.pop_front();
  if (piece.id >= 0) generated_tokens_++;
  // When nothing more can come the status says so at once, without another read.
  if (unread_.empty() && stream_->has_ended()) look_for_end();
  return std::optional<ReplyPiece>(std::move(piece));
}

// Without waiting. An error is kept for the next read.
void LLMGeneratorCompletion::Impl::look_for_end() {
  Result<std::vector<ReplyPiece>> pieces = stream_->read(std::chrono::milliseconds(0));
  if (!pieces) {
    if (pieces.error().kind != ErrorKind::kTimeout) failure_ = std::move(pieces).error();
    return;
  }
  if (pieces->empty()) return close(false);
  for (ReplyPiece& piece : *pieces) unread_.push_back(std::move(piece));
}

Result<std::optional<ReplyPiece>> LLMGeneratorCompletion::Impl::read_piece(std::chrono::milliseconds timeout) {
  const std::lock_guard lock(read_mutex_);
  if (unread_.empty() && failure_) {
    Error error = *std::exchange(failure_, std::nullopt);
    close(true);
    return error;
  }
  return next_piece(timeout);
}

void LLMGeneratorCompletion::Impl::abort() {
  stream_->abort();  // a reader that waits wakes up
  const std::lock_guard lock(read_mutex_);
  unread_.clear();
  bool has_failed = failure_.has_value();
  while (!is_closed_ && !has_failed) {
    Result<std::vector<ReplyPiece>> pieces = stream_->read(LLMGeneratorCompletion::DEFAULT_READ_TIMEOUT);
    if (pieces && pieces->empty()) return close(false);
    has_failed = !pieces && pieces.error().kind != ErrorKind::kTimeout;
  }
  if (!is_closed_) close(true);
}

LLMGeneratorCompletion::LLMGeneratorCompletion(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LLMGeneratorCompletion::LLMGeneratorCompletion(LLMGeneratorCompletion&& other) noexcept = default;
LLMGeneratorCompletion& LLMGeneratorCompletion::operator=(LLMGeneratorCompletion&& other) noexcept = default;
LLMGeneratorCompletion::~LLMGeneratorCompletion() = default;

Expected<std::string> LLMGeneratorCompletion::read(std::chrono::milliseconds timeout) {
  while (true) {
    Result<std::optional<ReplyPiece>> piece = impl_->read_piece(timeout);
    if (!piece) return failure_of(std::move(piece).error());
    if (!*piece) return std::string();
    if (!(*piece)->text.empty()) return std::move((*piece)->text);
  }
}

Expected<std::optional<LLMToken>> LLMGeneratorCompletion::read_token(std::chrono::milliseconds timeout) {
  Result<std::optional<ReplyPiece>> piece = impl_->read_piece(timeout);
  if (!piece) return failure_of(std::move(piece).error());
  if (!*piece) return std::optional<LLMToken>();
  return std::optional<LLMToken>(token_of(**std::move(piece)));
}

Expected<std::string> LLMGeneratorCompletion::read_all(std::chrono::milliseconds timeout) {
  std::string text;
  while (true) {
    Expected<std::string> piece = read(timeout);
    if (!piece) return piece;
    if (piece->empty()) return text;
    text += *piece;
  }
}

Status LLMGeneratorCompletion::generation_status() const { return impl_->status(); }
void LLMGeneratorCompletion::abort() { impl_->abort(); }
size_t LLMGeneratorCompletion::generated_tokens() const { return impl_->generated_tokens(); }
size_t LLMGeneratorCompletion::prefilled_tokens() const { return impl_->prefilled_tokens(); }
size_t LLMGeneratorCompletion::shifts() const { return impl_->shifts(); }
size_t LLMGeneratorCompletion::dropped_messages() const { return impl_->dropped_messages(); }
std::optional<uint64_t> LLMGeneratorCompletion::seed() const { return impl_->seed(); }

}  // namespace hotaru::genai
