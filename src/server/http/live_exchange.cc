#include "server/http/live_exchange.h"

#include <utility>

#include "server/request/errors.h"

namespace hotaru::server {

void ExchangeLink::respond(HttpResponse response) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(has_answer_, true) || sink_ == nullptr) return;
  sink_->post_answer(std::move(response));
}

void ExchangeLink::wake() {
  const std::lock_guard lock(mutex_);
  if (sink_ != nullptr) sink_->post_wake();
}

bool ExchangeLink::is_gone() const {
  const std::lock_guard lock(mutex_);
  return is_gone_;
}

void ExchangeLink::on_gone(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_gone_) {
      if (sink_ != nullptr) gone_callback_ = std::move(callback);
      return;
    }
  }
  callback();
}

void ExchangeLink::finish() {
  std::function<void()> dropped;  // what it holds dies outside the lock
  const std::lock_guard lock(mutex_);
  sink_ = nullptr;
  dropped = std::exchange(gone_callback_, {});
}

void ExchangeLink::leave() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    sink_ = nullptr;
    is_gone_ = true;
    callback = std::exchange(gone_callback_, {});
  }
  if (callback) callback();
}

bool ExchangeLink::is_waiting() const {
  const std::lock_guard lock(mutex_);
  return !has_answer_ && sink_ != nullptr;
}

LiveExchange::~LiveExchange() {
  if (link_->is_waiting()) fail("the request was given up");
}

void LiveExchange::fail(std::string_view why) { link_->respond(error_response(request_.path, 500, why)); }

}  // namespace hotaru::server
