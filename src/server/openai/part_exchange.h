// One of several replies that make an answer together: what answers it answers here.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "server/http/exchange.h"
#include "server/http/gone_signal.h"

namespace hotaru::server {

// For answers in one piece.
class PartExchange : public Exchange {
 public:
  PartExchange(std::shared_ptr<Exchange> whole, std::function<void(HttpResponse)> on_answer)
      : whole_(std::move(whole)), on_answer_(std::move(on_answer)) {}
  [[nodiscard]] const HttpRequest& request() const override { return whole_->request(); }
  void respond(HttpResponse response) override { std::exchange(on_answer_, {})(std::move(response)); }
  void wake() override {}
  [[nodiscard]] bool is_gone() const override { return gone_.is_gone(); }
  void on_gone(std::function<void()> callback) override { gone_.set_callback(std::move(callback)); }
  // Nobody wants this part any more.
  void leave() { gone_.leave(); }

 private:
  std::shared_ptr<Exchange> whole_;
  std::function<void(HttpResponse)> on_answer_;
  GoneSignal gone_;
};

}  // namespace hotaru::server
