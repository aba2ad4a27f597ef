#include "server/http/recorded_exchange.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace hotaru::server {
namespace {

// Gives what push() put in; says when it dies.
class Pipe : public BodyStream {
 public:
  Pipe(std::string bytes, bool is_last, bool& has_died) : chunk_{std::move(bytes), is_last}, has_died_(has_died) {}
  ~Pipe() override { has_died_ = true; }
  Chunk take() override { return std::exchange(chunk_, {"", true}); }

 private:
  Chunk chunk_;
  bool& has_died_;
};

TEST(RecordedExchange, KeepsAnAnswer) {
  const auto exchange = RecordedExchange::make("POST", "/api/chat", "{}");
  EXPECT_FALSE(exchange->has_answer());
  HttpResponse response;
  response.status = 404;
  response.body = "no";
  exchange->respond(std::move(response));
  EXPECT_EQ(exchange->response().status, 404);
  EXPECT_EQ(exchange->body(), "no");
  EXPECT_FALSE(exchange->is_streamed());
}

TEST(RecordedExchange, DrainsAStreamAndWaitsForIt) {
  class Late : public BodyStream {
   public:
    explicit Late(std::atomic<int>& ready) : ready_(ready) {}
    Chunk take() override {
      if (taken_ >= ready_.load()) return {};
      taken_++;
      return {std::to_string(taken_), taken_ == 3};
    }

   private:
    std::atomic<int>& ready_;
    int taken_ = 0;
  };
  std::atomic<int> ready = 0;
  const auto exchange = RecordedExchange::make("POST", "/");
  HttpResponse response;
  response.stream = std::make_unique<Late>(ready);
  exchange->respond(std::move(response));
  std::thread writer([&] {
    for (int i = 1; i <= 3; i++) {
      ready = i;
      exchange->wake();
    }
  });
  EXPECT_EQ(exchange->body(), "123");
  writer.join();
  EXPECT_TRUE(exchange->is_streamed());
}

TEST(RecordedExchange, LeavingKillsTheStreamAndCallsBackOnce) {
  bool has_died = false;
  int calls = 0;
  const auto exchange = RecordedExchange::make("POST", "/");
  exchange->on_gone([&] { calls++; });
  HttpResponse response;
  response.stream = std::make_unique<Pipe>("a", false, has_died);
  exchange->respond(std::move(response));
  EXPECT_EQ(exchange->next_bytes(), "a");
  EXPECT_FALSE(has_died);
  exchange->leave();
  exchange->leave();
  EXPECT_TRUE(has_died);
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(exchange->is_gone());
  EXPECT_EQ(exchange->next_bytes(), "");
  exchange->on_gone([&] { calls += 10; });
  EXPECT_EQ(calls, 11);
}

TEST(RecordedExchange, NobodyIsCalledAfterAWholeAnswer) {
  bool has_died = false;
  int calls = 0;
  const auto exchange = RecordedExchange::make("POST", "/");
  exchange->on_gone([&] { calls++; });
  HttpResponse response;
  response.stream = std::make_unique<Pipe>("a", true, has_died);
  exchange->respond(std::move(response));
  EXPECT_EQ(exchange->body(), "a");
  EXPECT_TRUE(has_died);
  exchange->leave();
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace hotaru::server
