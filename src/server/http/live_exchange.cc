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

void ExchangeLink::drop_sink() {
  const std::lock_guard lock(mutex_);
  sink_ = nullptr;
}

void ExchangeLink::finish() {
  drop_sink();
  gone_.close();
}

void ExchangeLink::leave() {
  drop_sink();
  gone_.leave();
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
