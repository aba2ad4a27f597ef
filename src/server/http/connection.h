// One client's connection: a state machine that lives on the server's one thread. A read is always under way (unless
// the buffer is full), so that a client's leaving shows while its answer is computed; what a read brings too early
// (pipelined requests) waits in the buffer. Includes Boost: for connection*.cc and http_server.cc only.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "server/http/gate.h"
#include "server/http/http_server.h"
#include "server/http/live_exchange.h"
#include "server/http/request_record.h"

namespace hotaru::server {

class Connection;

// What the connections of a server share. Everything but `workers` is of the server's thread.
struct ConnectionHome {
  const HttpServerOptions& options;
  const Router& router;
  const Gate& gate;
  boost::asio::io_context& io;
  boost::asio::thread_pool& workers;
  std::function<void()> on_empty;  // the last connection has closed
  std::unordered_set<std::shared_ptr<Connection>> connections;
  uint64_t body_bytes = 0;  // held in memory for all requests
  bool is_stopping = false;
};

class Connection : public AnswerSink, public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ConnectionHome& home);

  void start();
  // There are too many: 503, whatever is asked.
  void turn_away();
  // Takes no further request; an answer on its way may finish.
  void stop();
  // At once.
  void close();

  void post_answer(HttpResponse response) override;
  void post_wake() override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class State { kHead, kBody, kWritingBody, kAnswering, kLingering, kClosed };

  // Reading (connection.cc).
  void next_request();
  void read();
  void on_read(size_t bytes);
  void on_read_end();
  void parse_head();
  void on_head();
  HttpRequest request_of_head();
  bool admit();
  bool admit_body();
  void parse_body();
  bool keep_body(std::string_view bytes);
  void write_body_file(bool is_last);
  void dispatch();
  void set_deadline(std::optional<std::chrono::milliseconds> from_now);
  void await_deadline();
  void on_deadline();

  // Answering (connection_answer.cc).
  void refuse(int status, std::string_view message, NamedValues headers = {});
  void answer(HttpResponse response);
  void pump();
  void send(std::string_view bytes);
  void flush();
  void on_written(size_t bytes);
  void on_all_written();
  void finish_answer();
  void linger();
  void record(bool is_cut);

  boost::asio::ip::tcp::socket socket_;
  ConnectionHome& home_;
  boost::asio::steady_timer timer_;
  std::optional<Clock::time_point> deadline_;
  bool timer_runs_ = false;
  State state_ = State::kHead;
  std::string client_;

  // A read fills `incoming_`, not `buffer_` itself: that is parsed, and moves, while the read is under way.
  std::array<char, size_t{32} << 10> incoming_;
  boost::beast::flat_buffer buffer_;
  bool is_reading_ = false, reads_ended_ = false;
  std::optional<boost::beast::http::request_parser<boost::beast::http::buffer_body>> parser_;
  uint64_t head_bytes_ = 0;
  std::string body_part_;  // of a body on its way to a file
  uint64_t body_bytes_ = 0, body_in_memory_ = 0;
  std::shared_ptr<BodyFile> body_file_;

  HttpRequest request_;
  RequestRecord record_;
  Clock::time_point began_;
  const Route* route_ = nullptr;
  NamedValues gate_headers_;
  bool is_head_ = false, keeps_alive_ = false, is_old_client_ = false;  // HEAD; HTTP/1.0: knows no chunks

  std::shared_ptr<ExchangeLink> link_;
  bool has_answer_ = false, is_chunked_ = false, stream_ended_ = false;
  std::unique_ptr<BodyStream> stream_;
  std::string out_, next_out_;  // being written; waiting behind it
  size_t out_done_ = 0;
  bool is_writing_ = false;
};

}  // namespace hotaru::server
