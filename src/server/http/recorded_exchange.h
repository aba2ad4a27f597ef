// For tests: an exchange without a socket. It keeps the answer, plays the client that reads it, or the one that leaves.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/check.h"
#include "server/http/exchange.h"
#include "server/http/gone_signal.h"

namespace hotaru::server {

class RecordedExchange : public Exchange {
 public:
  explicit RecordedExchange(HttpRequest request) : request_(std::move(request)) {}
  static std::shared_ptr<RecordedExchange> make(std::string method, std::string path, std::string body = {}) {
    HttpRequest request;
    request.id = "test";
    request.method = std::move(method);
    request.path = std::move(path);
    request.body = std::move(body);
    return std::make_shared<RecordedExchange>(std::move(request));
  }

  // The handler's side.
  [[nodiscard]] const HttpRequest& request() const override { return request_; }
  void respond(HttpResponse response) override {
    const std::lock_guard lock(mutex_);
    CHECK(!has_answer_);
    has_answer_ = true;
    stream_ = std::move(response.stream);
    is_streamed_ = stream_ != nullptr;
    response_ = std::move(response);
    if (is_gone()) stream_ = nullptr;
    changed_.notify_all();
  }
  void wake() override {
    const std::lock_guard lock(mutex_);
    wakes_++;
    changed_.notify_all();
  }
  [[nodiscard]] bool is_gone() const override { return gone_.is_gone(); }
  void on_gone(std::function<void()> callback) override { gone_.set_callback(std::move(callback)); }

  // The client's side. What waits fails the process after 30 seconds: a test that hangs tells nothing.
  [[nodiscard]] bool has_answer() const {
    const std::lock_guard lock(mutex_);
    return has_answer_;
  }
  // Head and, if it is not streamed, body of the answer; waits for it.
  const HttpResponse& response() {
    std::unique_lock lock(mutex_);
    wait(lock, [this] { return has_answer_; });
    return response_;
  }
  [[nodiscard]] bool is_streamed() const {
    const std::lock_guard lock(mutex_);
    return is_streamed_;
  }
  // The next bytes of a streamed body; waits for some. Empty: it has ended.
  std::string next_bytes() {
    response();
    std::unique_lock lock(mutex_);
    while (stream_ != nullptr) {
      const int wakes = wakes_;
      lock.unlock();
      BodyStream::Chunk chunk = stream_->take();
      lock.lock();
      if (chunk.is_last) {
        const std::unique_ptr<BodyStream> ended = std::move(stream_);
        lock.unlock();  // the stream may call back while it dies
        return std::move(chunk.bytes);
      }
      if (!chunk.bytes.empty()) return std::move(chunk.bytes);
      wait(lock, [this, wakes] { return wakes_ != wakes; });
    }
    return {};
  }
  // The whole body, streamed or not, as a client gets it.
  std::string body() {
    std::string body = response().body;
    for (std::string bytes = next_bytes(); !bytes.empty(); bytes = next_bytes()) body += bytes;
    return body;
  }
  // The client goes away: as HttpServer does it, the callback runs and the stream dies.
  void leave() {
    std::unique_lock lock(mutex_);
    if (has_answer_ && stream_ == nullptr) gone_.close();
    lock.unlock();
    gone_.leave();
    lock.lock();
    const std::unique_ptr<BodyStream> cut = std::move(stream_);
    lock.unlock();  // the stream may call back while it dies
  }

 private:
  template <typename Condition>
  void wait(std::unique_lock<std::mutex>& lock, Condition condition) {
    CHECK(changed_.wait_for(lock, std::chrono::seconds(30), condition));
  }

  HttpRequest request_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  HttpResponse response_;
  std::unique_ptr<BodyStream> stream_;
  bool has_answer_ = false, is_streamed_ = false;
  int wakes_ = 0;
  GoneSignal gone_;
};

}  // namespace hotaru::server
