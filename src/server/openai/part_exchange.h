// One of several replies that make an answer together: what answers it answers here.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "server/http/exchange.h"

namespace hotaru::server {

// For answers in one piece.
class PartExchange : public Exchange {
 public:
  PartExchange(std::shared_ptr<Exchange> whole, std::function<void(HttpResponse)> on_answer)
      : whole_(std::move(whole)), on_answer_(std::move(on_answer)) {}
  [[nodiscard]] const HttpRequest& request() const override { return whole_->request(); }
  void respond(HttpResponse response) override { std::exchange(on_answer_, {})(std::move(response)); }
  void wake() override {}
  [[nodiscard]] bool is_gone() const override {
    const std::lock_guard lock(mutex_);
    return is_gone_;
  }
  void on_gone(std::function<void()> callback) override {
    {
      const std::lock_guard lock(mutex_);
      if (!is_gone_) {
        callback_ = std::move(callback);
        return;
      }
    }
    callback();
  }
  // Nobody wants this part any more.
  void leave() {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(is_gone_, true)) return;
      callback = std::exchange(callback_, {});
    }
    if (callback) callback();
  }

 private:
  std::shared_ptr<Exchange> whole_;
  std::function<void(HttpResponse)> on_answer_;
  mutable std::mutex mutex_;
  std::function<void()> callback_;
  bool is_gone_ = false;
};

}  // namespace hotaru::server
