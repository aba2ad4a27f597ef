// The handler's end of a connection. It may outlive the connection and the server; what it says then goes nowhere.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "server/http/body_file.h"
#include "server/http/exchange.h"
#include "server/http/gone_signal.h"

namespace hotaru::server {

// The connection's end. Called on any thread, never after ExchangeLink::finish() or leave() has returned.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void post_answer(HttpResponse response) = 0;
  virtual void post_wake() = 0;
};

// What both ends share.
class ExchangeLink {
 public:
  explicit ExchangeLink(AnswerSink* sink) : sink_(sink) {}

  // The handler's side.
  void respond(HttpResponse response);  // the first one counts
  void wake();
  [[nodiscard]] bool is_waiting() const;  // for an answer
  [[nodiscard]] bool is_gone() const { return gone_.is_gone(); }
  void on_gone(std::function<void()> callback) { gone_.set_callback(std::move(callback)); }

  // The connection's side: the answer has been sent whole, or never will be.
  void finish();
  void leave();

 private:
  void drop_sink();

  mutable std::mutex mutex_;
  AnswerSink* sink_;
  bool has_answer_ = false;
  GoneSignal gone_;
};

class LiveExchange : public Exchange {
 public:
  LiveExchange(HttpRequest request, std::shared_ptr<ExchangeLink> link, std::shared_ptr<BodyFile> body_file)
      : request_(std::move(request)), link_(std::move(link)), body_file_(std::move(body_file)) {}
  LiveExchange(const LiveExchange&) = delete;
  LiveExchange& operator=(const LiveExchange&) = delete;
  ~LiveExchange() override;  // an exchange that was dropped is answered: no client waits forever

  [[nodiscard]] const HttpRequest& request() const override { return request_; }
  void respond(HttpResponse response) override { link_->respond(std::move(response)); }
  void wake() override { link_->wake(); }
  [[nodiscard]] bool is_gone() const override { return link_->is_gone(); }
  void on_gone(std::function<void()> callback) override { link_->on_gone(std::move(callback)); }
  // A handler has thrown.
  void fail(std::string_view why);

 private:
  HttpRequest request_;
  std::shared_ptr<ExchangeLink> link_;
  std::shared_ptr<BodyFile> body_file_;
};

}  // namespace hotaru::server
