// Answers that take their time: streams, slow and leaving clients, timeouts, the end of the server.
#include <sys/resource.h>

#include <atomic>
#include <deque>

#include "server/http/server_fixture.h"

namespace hotaru::server {
namespace {

using std::chrono::milliseconds;

std::string get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n"; }

TEST_F(ServerTest, StreamsWhatIsReadyAtOnce) {
  const auto state = std::make_shared<TestStream::State>();
  on("GET", "/stream", TestStream::handler(state));
  on_text("GET", "/", [](const HttpRequest&) { return "here"; });
  start();
  SocketClient client(port());
  client.send(get("/stream"));
  state->push("first", false);
  while (client.held().find("5\r\nfirst\r\n") == std::string::npos) ASSERT_TRUE(client.read_some());
  EXPECT_FALSE(state->died());
  state->push("", false);  // nothing yet
  state->push("second", false);
  state->push("", true);
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.body, "firstsecond");
  EXPECT_EQ(answer.header("Content-Type"), "application/x-ndjson");
  EXPECT_TRUE(comes_true([&] { return state->died(); }));
  EXPECT_EQ(client.ask(get("/")).body, "here");
  EXPECT_FALSE(record(0).is_cut);
  EXPECT_EQ(record(0).body_bytes, 11U);
}

TEST_F(ServerTest, ASlowReaderHoldsTheStreamBack) {
  const auto state = std::make_shared<TestStream::State>();
  on("GET", "/stream", TestStream::handler(state));
  on_text("GET", "/", [](const HttpRequest&) { return "here"; });
  start();
  for (int i = 0; i < 200; i++) state->push(std::string(100000, 'x'), i == 199);  // 20 MB
  SocketClient slow(port(), 65536);
  slow.send(get("/stream"));
  ASSERT_TRUE(slow.read_some());
  std::this_thread::sleep_for(milliseconds(300));
  const size_t taken = state->taken_parts();
  EXPECT_LT(taken, 10U);  // the client's window, and little on this side of it
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(state->taken_parts(), taken);
  SocketClient other(port());
  EXPECT_EQ(other.ask(get("/")).body, "here");  // nobody else waits
  EXPECT_EQ(slow.read_answer().body.size(), 20'000'000U);
}

TEST_F(ServerTest, AClientThatDoesNotReadIsCut) {
  const auto state = std::make_shared<TestStream::State>();
  on("GET", "/stream", TestStream::handler(state));
  options_.write_timeout = std::chrono::seconds(1);
  start();
  for (int i = 0; i < 400; i++) state->push(std::string(100000, 'x'), i == 399);
  SocketClient slow(port(), 4096);
  slow.send(get("/stream"));
  EXPECT_TRUE(comes_true([&] { return state->died(); }));
  EXPECT_TRUE(record(0).is_cut);
}

TEST_F(ServerTest, LeavingDuringTheComputationIsToldAtOnce) {
  std::mutex mutex;
  std::shared_ptr<Exchange> kept;
  std::atomic<int> gone = 0;
  on("GET", "/slow", [&](const std::shared_ptr<Exchange>& exchange) {
    exchange->on_gone([&] { gone++; });
    const std::lock_guard lock(mutex);
    kept = exchange;
  });
  start();
  SocketClient client(port());
  client.send(get("/slow") + get("/pipelined"));
  EXPECT_TRUE(comes_true([&] {
    const std::lock_guard lock(mutex);
    return kept != nullptr;
  }));
  EXPECT_EQ(gone, 0);
  client.leave();
  EXPECT_TRUE(comes_true([&] { return gone == 1; }));
  EXPECT_TRUE(kept->is_gone());
  kept->respond({});  // goes nowhere
  kept->wake();
  int late = 0;
  kept->on_gone([&] { late++; });
  EXPECT_EQ(late, 1);
  EXPECT_TRUE(record(0).is_cut);
}

TEST_F(ServerTest, LeavingDuringTheStreamDestroysIt) {
  const auto state = std::make_shared<TestStream::State>();
  on("GET", "/stream", TestStream::handler(state));
  start();
  SocketClient client(port());
  client.send(get("/stream"));
  state->push("first", false);
  while (client.held().find("first") == std::string::npos) ASSERT_TRUE(client.read_some());
  client.leave();
  EXPECT_TRUE(comes_true([&] { return state->died(); }));
  EXPECT_TRUE(state->exchange->is_gone());
}

TEST_F(ServerTest, NobodyIsCalledAfterTheAnswer) {
  std::atomic<int> gone = 0;
  on("GET", "/", [&](const std::shared_ptr<Exchange>& exchange) {
    exchange->on_gone([&] { gone++; });
    exchange->respond({});
  });
  start();
  {
    SocketClient client(port());
    EXPECT_EQ(client.ask(get("/")).status, 200);
  }
  SocketClient other(port());
  EXPECT_EQ(other.ask(get("/")).status, 200);
  EXPECT_EQ(gone, 0);
}

TEST_F(ServerTest, AnAnswerOutlivesItsServer) {
  std::shared_ptr<Exchange> kept;
  on("GET", "/slow", [&](const std::shared_ptr<Exchange>& exchange) { kept = exchange; });
  start();
  SocketClient client(port());
  client.send(get("/slow"));
  std::this_thread::sleep_for(milliseconds(100));
  stop(milliseconds(0));
  server_.reset();
  ASSERT_NE(kept, nullptr);
  EXPECT_TRUE(kept->is_gone());
  kept->wake();
  kept->respond({});
  kept.reset();
}

TEST_F(ServerTest, SlowHeadersAndBodiesRunOutOfTime) {
  on_text("POST", "/", [](const HttpRequest&) { return ""; });
  options_.header_timeout = std::chrono::seconds(1);
  options_.idle_timeout = std::chrono::seconds(2);
  start();
  const auto begin = std::chrono::steady_clock::now();
  SocketClient drip(port()), body(port()), idle(port());
  body.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab");
  int sent = 0;
  drip.send("GET / HTTP/1.1\r\n");
  while (!drip.read_some(100) && sent < 100) {  // a byte at a time does not help
    drip.send("X");
    sent++;
  }
  EXPECT_LT(sent, 30);
  EXPECT_EQ(drip.read_answer().status, 408);
  EXPECT_EQ(body.read_answer().status, 408);
  EXPECT_TRUE(idle.is_closed());
  EXPECT_EQ(idle.held(), "");
  const auto time = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(time, milliseconds(1900));
  EXPECT_LT(time, milliseconds(6000));
}

TEST_F(ServerTest, MoreConnectionsThanAllowedAreTurnedAway) {
  on_text("GET", "/", [](const HttpRequest&) { return "here"; });
  options_.connections = 3;
  start();
  std::deque<SocketClient> clients;
  for (int i = 0; i < 3; i++) EXPECT_EQ(clients.emplace_back(port()).ask(get("/")).body, "here");
  const auto answer = SocketClient(port()).ask(get("/"));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Connection"), "close");
  clients.pop_back();
  EXPECT_TRUE(comes_true([&] { return SocketClient(port()).ask(get("/")).status == 200; }));
  EXPECT_EQ(clients.front().ask(get("/")).body, "here");
}

TEST_F(ServerTest, IdleConnectionsCostNoThread) {
  on_text("GET", "/", [](const HttpRequest&) { return "here"; });
  start();
  const auto threads = [] {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) count++;
    return count;
  };
  const size_t before = threads();
  std::deque<SocketClient> idle;
  for (int i = 0; i < 300; i++) idle.emplace_back(port());
  EXPECT_EQ(idle.back().ask(get("/")).body, "here");
  EXPECT_EQ(threads(), before);
}

TEST_F(ServerTest, AnAnswerOnItsWayIsFinishedByAGracefulStop) {
  const auto state = std::make_shared<TestStream::State>();
  on("GET", "/stream", TestStream::handler(state));
  start();
  SocketClient client(port()), idle(port());
  client.send(get("/stream"));
  state->push("first", false);
  while (client.held().find("first") == std::string::npos) ASSERT_TRUE(client.read_some());
  std::thread stopper([this] { stop(std::chrono::seconds(20)); });
  EXPECT_TRUE(idle.is_closed());
  state->push("second", true);
  EXPECT_EQ(client.read_answer().body, "firstsecond");
  EXPECT_TRUE(client.is_closed());
  client.leave();
  stopper.join();
}

TEST_F(ServerTest, WhatIsNotFinishedInGraceIsCut) {
  const auto state = std::make_shared<TestStream::State>();
  on("GET", "/stream", TestStream::handler(state));
  start();
  SocketClient client(port());
  client.send(get("/stream"));
  state->push("first", false);
  while (client.held().find("first") == std::string::npos) ASSERT_TRUE(client.read_some());
  const auto begin = std::chrono::steady_clock::now();
  stop(milliseconds(300));
  const auto time = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(time, milliseconds(290));
  EXPECT_LT(time, milliseconds(5000));
  EXPECT_TRUE(state->died());
  EXPECT_TRUE(client.is_closed());
}

TEST_F(ServerTest, AHalfClosedClientGetsItsAnswerIfItIsThere) {
  on_text("GET", "/", [](const HttpRequest&) { return std::string(10'000'000, 'x'); });
  start();
  SocketClient client(port(), 4096);
  client.send(get("/"));
  ASSERT_TRUE(client.read_some());
  client.half_close();
  EXPECT_EQ(client.read_answer().body.size(), 10'000'000U);
  EXPECT_TRUE(client.is_closed());
}

}  // namespace
}  // namespace hotaru::server
