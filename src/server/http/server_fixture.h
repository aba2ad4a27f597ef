// For tests: a server on a free port with routes of the test's, and what it noted about its requests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/http/http_server.h"
#include "server/http/socket_client.h"

namespace hotaru::server {

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    folder_ = std::filesystem::temp_directory_path() / ("hotaru_http_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    options_.port = 0;
    options_.workers = 2;
    options_.file_folder = folder_;
    options_.on_request_done = [this](const RequestRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(record);
      changed_.notify_all();
    };
  }
  ~ServerTest() override {
    if (server_) stop(std::chrono::milliseconds(0));
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void on(const std::string& method, const std::string& path, Handler handler) {
    router_.add({.method = method, .path = path, .handler = std::move(handler)});
  }
  // Answers with the text that `make` gives.
  void on_text(const std::string& method, const std::string& path,
               std::function<std::string(const HttpRequest&)> make) {
    on(method, path, [make = std::move(make)](const std::shared_ptr<Exchange>& exchange) {
      HttpResponse response;
      response.content_type = "text/plain";
      response.body = make(exchange->request());
      exchange->respond(std::move(response));
    });
  }
  void start() {
    auto server = HttpServer::create(options_, std::move(router_));
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = *std::move(server);
    thread_ = std::thread([this] { server_->run(); });
  }
  void stop(std::chrono::milliseconds grace) {
    server_->stop(grace);
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] uint16_t port() const { return server_->port(); }

  // The record of request number `index`, once it is there.
  RequestRecord record(size_t index) {
    std::unique_lock lock(mutex_);
    const bool is_there = changed_.wait_for(lock, std::chrono::seconds(20), [&] { return records_.size() > index; });
    EXPECT_TRUE(is_there) << "no record of request " << index;
    return is_there ? records_[index] : RequestRecord{};
  }
  [[nodiscard]] size_t files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) count++;
    return count;
  }
  // Waits for what other threads do.
  template <typename Condition>
  static bool comes_true(Condition condition) {
    for (int i = 0; i < 2000; i++) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  HttpServerOptions options_;
  Router router_;
  std::filesystem::path folder_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<RequestRecord> records_;
};

// A body whose parts a test makes ready one by one; says when it died.
class TestStream : public BodyStream {
 public:
  struct State {
    std::mutex mutex;
    std::vector<Chunk> ready;
    size_t taken = 0;
    bool has_died = false;
    std::shared_ptr<Exchange> exchange;  // to wake

    void push(std::string bytes, bool is_last) {
      std::shared_ptr<Exchange> to_wake;
      {
        const std::lock_guard lock(mutex);
        ready.push_back({std::move(bytes), is_last});
        to_wake = exchange;
      }
      if (to_wake) to_wake->wake();
    }
    bool died() {
      const std::lock_guard lock(mutex);
      return has_died;
    }
    size_t taken_parts() {
      const std::lock_guard lock(mutex);
      return taken;
    }
  };
  explicit TestStream(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~TestStream() override {
    const std::lock_guard lock(state_->mutex);
    state_->has_died = true;
  }
  // One part. An empty one that is not the last makes nothing ready: it only wakes, and wakes may have run together.
  Chunk take() override {
    const std::lock_guard lock(state_->mutex);
    while (state_->taken < state_->ready.size()) {
      Chunk& part = state_->ready[state_->taken++];
      if (part.is_last || !part.bytes.empty()) return part;
    }
    return {};
  }
  // A handler that answers with such a stream.
  static Handler handler(const std::shared_ptr<State>& state) {
    return [state](const std::shared_ptr<Exchange>& exchange) {
      {
        const std::lock_guard lock(state->mutex);
        state->exchange = exchange;
      }
      HttpResponse response;
      response.content_type = "application/x-ndjson";
      response.stream = std::make_unique<TestStream>(state);
      exchange->respond(std::move(response));
    };
  }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace hotaru::server
