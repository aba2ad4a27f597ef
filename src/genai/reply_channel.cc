#include "genai/reply_channel.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hotaru {

using Clock = std::chrono::steady_clock;

namespace {
constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 365);  // of a wait; more overflows the clock
}

void EngineSignals::wake() {
  {
    const std::lock_guard lock(mutex_);
    has_work_ = true;
  }
  work_.notify_one();
}

void EngineSignals::sleep() {
  std::unique_lock lock(mutex_);
  work_.wait(lock, [this] { return has_work_; });
  has_work_ = false;
}

void EngineSignals::note_idle(bool is_idle) {
  const std::lock_guard lock(mutex_);
  is_idle_ = is_idle;
  if (is_idle) idle_.notify_all();
}

bool EngineSignals::wait_until_idle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, std::min(timeout, kLongest), [this] { return is_idle_; });
}

void EngineSignals::note_step() {
  last_step_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

Clock::time_point EngineSignals::last_step() const {
  return Clock::time_point(Clock::duration(last_step_.load(std::memory_order_relaxed)));
}

ReplyChannel::ReplyChannel(std::shared_ptr<EngineSignals> signals, size_t capacity, std::function<void()> on_ready)
    : signals_(std::move(signals)), capacity_(capacity), on_ready_(std::move(on_ready)) {}

void ReplyChannel::call_on_ready() {
  const std::lock_guard lock(ready_mutex_);
  if (on_ready_) on_ready_();
}

void ReplyChannel::push(ReplyPiece&& piece) {
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    unread_.push_back(std::move(piece));
  }
  has_news_ = true;
}

void ReplyChannel::announce() {
  if (!std::exchange(has_news_, false)) return;
  readable_.notify_one();
  call_on_ready();
}

void ReplyChannel::end(Reply&& reply, std::optional<Error> error) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(!has_ended_);
    reply_ = std::move(reply);
    error_ = std::move(error);
    has_ended_ = true;
  }
  has_news_ = true;
  announce();
}

bool ReplyChannel::is_full() const {
  const std::lock_guard lock(mutex_);
  return unread_.size() >= capacity_;
}

Result<std::vector<ReplyPiece>> ReplyChannel::read(std::chrono::milliseconds timeout) {
  std::vector<ReplyPiece> pieces;
  timeout = std::min(timeout, kLongest);
  const Clock::time_point start = Clock::now();
  std::unique_lock lock(mutex_);
  while (unread_.empty() && !has_ended_) {
    // Every step of the engine is progress of this reply: of its prompt, of its tokens, or of those before it.
    const Clock::time_point deadline = std::max(start, signals_->last_step()) + timeout;
    const bool is_over = readable_.wait_until(lock, deadline) == std::cv_status::timeout &&
                         std::max(start, signals_->last_step()) + timeout <= Clock::now();
    if (is_over && unread_.empty() && !has_ended_) {
      return make_error(ErrorKind::kTimeout, "no part of the reply came within {} ms", timeout.count());
    }
  }
  if (unread_.empty() && error_) return *error_;
  const bool was_full = unread_.size() >= capacity_;
  pieces.swap(unread_);
  lock.unlock();
  if (was_full) signals_->wake();
  return pieces;
}

void ReplyChannel::abort() {
  is_abort_wanted_.store(true, std::memory_order_relaxed);
  signals_->wake();
}

bool ReplyChannel::has_ended() const {
  const std::lock_guard lock(mutex_);
  return has_ended_;
}

const Reply& ReplyChannel::result() const {
  const std::lock_guard lock(mutex_);
  CHECK(has_ended_);
  return reply_;
}

void ReplyChannel::close() {
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    unread_.clear();
  }
  abort();
  const std::lock_guard lock(ready_mutex_);
  on_ready_ = nullptr;
}

}  // namespace hotaru
