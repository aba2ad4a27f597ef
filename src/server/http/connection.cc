#include "server/http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <exception>
#include <random>
#include <utility>

#include "server/http/target.h"

namespace hotaru::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kAheadBytes = size_t{64} << 10;  // read beyond a head, at most
constexpr size_t kFilePartBytes = size_t{1} << 20;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

// The client's own, if it can stand in a log and in a header.
std::string request_id(std::string_view given) {
  const auto is_plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
  };
  if (!given.empty() && given.size() <= 128 && std::all_of(given.begin(), given.end(), is_plain)) {
    return std::string(given);
  }
  static const uint64_t start = std::random_device()();
  static std::atomic<uint32_t> count = 0;
  return fmt::format("{:08x}{:08x}", start & 0xFFFFFFFF, count++);
}

std::string to_string(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Linux would take megabytes that the client's window has no room for: a slow reader's reply would be computed to its
// end, for nobody yet.
void bound_unsent_bytes(asio::ip::tcp::socket& socket) {
  const int most = 16 << 10;
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, ConnectionHome& home)
    : socket_(std::move(socket)), home_(home), timer_(home.io), buffer_(home.options.header_bytes + kAheadBytes) {
  error_code error;
  const auto client = socket_.remote_endpoint(error);
  if (!error) client_ = client.address().to_string();
  socket_.set_option(asio::ip::tcp::no_delay(true), error);
  bound_unsent_bytes(socket_);
}

void Connection::start() { next_request(); }

void Connection::next_request() {
  state_ = State::kHead;
  began_ = Clock::now();
  parser_.emplace();
  parser_->header_limit(home_.options.header_bytes);
  head_bytes_ = 0;
  parser_->body_limit(boost::none);  // ours differ from route to route
  set_deadline(home_.options.idle_timeout);
  if (buffer_.size() == 0) return read();
  set_deadline(home_.options.header_timeout);
  parse_head();
}

void Connection::read() {
  if (is_reading_ || reads_ended_ || state_ == State::kClosed) return;
  const size_t room = std::min(incoming_.size(), buffer_.max_size() - buffer_.size());
  if (room == 0) return;
  is_reading_ = true;
  socket_.async_read_some(asio::buffer(incoming_.data(), room),
                          [self = shared_from_this()](error_code error, size_t bytes) {
                            self->is_reading_ = false;
                            if (self->state_ == State::kClosed) return;
                            if (error) return self->on_read_end();
                            self->on_read(bytes);
                          });
}

void Connection::on_read(size_t bytes) {
  const bool was_empty = buffer_.size() == 0;
  buffer_.commit(asio::buffer_copy(buffer_.prepare(bytes), asio::buffer(incoming_.data(), bytes)));
  switch (state_) {
    case State::kHead:
      if (was_empty && !parser_->got_some()) set_deadline(home_.options.header_timeout);
      return parse_head();
    case State::kBody:
      set_deadline(home_.options.idle_timeout);
      return parse_body();
    case State::kLingering:
      buffer_.consume(buffer_.size());
      return read();
    case State::kWritingBody:
    case State::kAnswering:
      return read();
    case State::kClosed:
      return;
  }
}

void Connection::on_read_end() {
  reads_ended_ = true;
  // A client that half-closes its side after the request still gets an answer that is there already.
  if (state_ == State::kAnswering && has_answer_ && !stream_) {
    keeps_alive_ = false;
  } else {
    close();
  }
}

void Connection::parse_head() {
  error_code error;
  if (buffer_.size() > 0) {
    const size_t bytes = parser_->put(buffer_.data(), error);
    buffer_.consume(bytes);
    head_bytes_ += bytes;
  }
  // The parser's own limit is of what one put() gives it.
  if (error == http::error::header_limit || head_bytes_ > home_.options.header_bytes) {
    keeps_alive_ = false;
    return refuse(431, fmt::format("headers: got more than {} bytes", home_.options.header_bytes));
  }
  if (error && error != http::error::need_more) {
    keeps_alive_ = false;
    return refuse(400, "not an HTTP request: " + error.message());
  }
  if (!parser_->is_header_done()) return read();
  on_head();
}

HttpRequest Connection::request_of_head() {
  const auto& head = parser_->get();
  HttpRequest request;
  request.method = to_string(head.method_string());
  for (const auto& field : head) {
    request.headers.emplace_back(lower(to_string(field.name_string())), to_string(field.value()));
  }
  request.id = request_id(request.header("x-request-id"));
  return request;
}

void Connection::on_head() {
  began_ = Clock::now();
  request_ = request_of_head();
  is_head_ = request_.method == "HEAD";
  is_old_client_ = parser_->get().version() < 11;
  const bool has_body = parser_->chunked() || parser_->content_length().value_or(0) > 0;
  // Until the body has been read: an answer in front of it ends the connection.
  keeps_alive_ = !has_body && parser_->keep_alive() && !home_.is_stopping;
  record_ = {.id = request_.id, .method = request_.method, .path = {}, .route = {}, .client = client_};
  if (!admit() || !admit_body()) return;
  state_ = State::kBody;
  set_deadline(home_.options.idle_timeout);
  if (has_body && lower(request_.header("expect")) == "100-continue" && buffer_.size() == 0) {
    send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  parse_body();
}

// Everything that the head decides alone; false: refused.
bool Connection::admit() {
  const auto no = [this](int status, std::string_view message, NamedValues headers = {}) {
    refuse(status, message, std::move(headers));
    return false;
  };
  auto target = parse_target(to_string(parser_->get().target()));
  if (!target) return no(400, target.error().message);
  request_.path = std::move(target->path);
  request_.query = std::move(target->query);
  record_.path = request_.path;
  const auto hosts = std::count_if(request_.headers.begin(), request_.headers.end(),
                                   [](const auto& header) { return header.first == "host"; });
  if (hosts > 1 || (hosts == 0 && !is_old_client_)) return no(400, fmt::format("Host: got {}, want one", hosts));
  Gate::Verdict verdict = home_.gate.judge(request_);
  gate_headers_ = std::move(verdict.headers);
  if (verdict.status == 204) {
    answer({.status = 204, .content_type = {}, .headers = {}, .body = {}, .stream = nullptr});
    return false;
  }
  if (verdict.status != 0) return no(verdict.status, verdict.message);
  Router::Match match = home_.router.find(request_.method, request_.path);
  if (!(match.route != nullptr && match.route->access == Access::kOpen) && !home_.gate.has_key(request_)) {
    return no(401, "a valid API key is needed (Authorization: Bearer KEY, or x-api-key: KEY)",
              {{"WWW-Authenticate", "Bearer"}});
  }
  if (match.route == nullptr && match.allowed.empty()) {
    return no(404, fmt::format("there is no '{}' here", request_.path));
  }
  if (match.route == nullptr) {
    return no(405, fmt::format("{} has no {}, only {}", request_.path, request_.method, match.allowed),
              {{"Allow", match.allowed}});
  }
  route_ = match.route;
  record_.route = route_->path;
  request_.parameters = std::move(match.parameters);
  return true;
}

bool Connection::admit_body() {
  body_bytes_ = 0;
  const bool to_file = route_->body == BodyKind::kFile;
  if (!request_.header("transfer-encoding").empty() && !parser_->chunked()) {
    refuse(501, "Transfer-Encoding: want chunked");
    return false;
  }
  const uint64_t limit = to_file ? home_.options.file_body_bytes : home_.options.body_bytes;
  if (parser_->content_length().value_or(0) > limit) {
    refuse(413, fmt::format("body: got {} bytes, want at most {}", *parser_->content_length(), limit));
    return false;
  }
  if (!to_file) return true;
  auto file = BodyFile::create(home_.options.file_folder);
  if (!file) {
    refuse(file.error().kind == ErrorKind::kNoMemory ? 507 : 500, file.error().message);
    return false;
  }
  body_file_ = *std::move(file);
  request_.body_file = body_file_->path();
  return true;
}

void Connection::parse_body() {
  std::array<char, 16384> part;
  bool needs_more = false;
  while (!parser_->is_done() && !needs_more && body_part_.size() < kFilePartBytes) {
    auto& body = parser_->get().body();
    body.data = part.data();
    body.size = part.size();
    body.more = true;
    error_code error;
    if (buffer_.size() > 0) {
      buffer_.consume(parser_->put(buffer_.data(), error));
    } else {
      error = http::error::need_more;
    }
    needs_more = error == http::error::need_more;
    if (error && error != http::error::need_more && error != http::error::need_buffer) {
      return refuse(400, "body: " + error.message());
    }
    if (!keep_body({part.data(), part.size() - body.size})) return;
  }
  if (body_file_ && (parser_->is_done() || body_part_.size() >= kFilePartBytes)) {
    return write_body_file(parser_->is_done());
  }
  if (parser_->is_done()) return dispatch();
  // The parser takes a chunk's line, and all trailers, as one.
  if (needs_more && buffer_.size() == buffer_.max_size()) {
    return refuse(431, fmt::format("trailers: got more than {} bytes", buffer_.max_size()));
  }
  read();
}

// False: refused, there is too much.
bool Connection::keep_body(std::string_view bytes) {
  body_bytes_ += bytes.size();
  const uint64_t limit = body_file_ ? home_.options.file_body_bytes : home_.options.body_bytes;
  if (body_bytes_ > limit) {
    refuse(413, fmt::format("body: got more than {} bytes", limit));
    return false;
  }
  if (body_file_) {
    body_part_ += bytes;
    return true;
  }
  home_.body_bytes += bytes.size();
  body_in_memory_ += bytes.size();
  request_.body += bytes;
  if (home_.body_bytes <= home_.options.all_body_bytes) return true;
  refuse(503, "the requests under way are too large together; try again later");
  return false;
}

// The disk is slow: a worker waits for it, and nothing more is taken from the client meanwhile.
void Connection::write_body_file(bool is_last) {
  state_ = State::kWritingBody;
  set_deadline({});
  read();  // shows a client that leaves
  asio::post(
      home_.workers, [self = shared_from_this(), file = body_file_, is_last, part = std::exchange(body_part_, {})] {
        Result<void> written = file->write(part);
        if (written && is_last) written = file->close();
        asio::post(self->home_.io, [self, is_last, written = std::move(written)] {
          if (self->state_ != State::kWritingBody) return;
          self->state_ = State::kBody;
          if (!written) {
            return self->refuse(written.error().kind == ErrorKind::kNoMemory ? 507 : 500, written.error().message);
          }
          self->set_deadline(self->home_.options.idle_timeout);
          if (is_last) return self->dispatch();
          self->parse_body();
        });
      });
}

void Connection::dispatch() {
  state_ = State::kAnswering;
  keeps_alive_ = parser_->keep_alive() && !home_.is_stopping;
  set_deadline({});
  link_ = std::make_shared<ExchangeLink>(this);
  auto exchange = std::make_shared<LiveExchange>(std::exchange(request_, {}), link_, std::exchange(body_file_, {}));
  asio::post(home_.workers, [exchange = std::move(exchange), route = route_]() mutable {
    const std::shared_ptr<LiveExchange> own = std::move(exchange);
    if (own->is_gone()) return;
    try {
      route->handler(own);
    } catch (const std::exception& error) {
      own->fail(fmt::format("internal error: {}", error.what()));
    }
  });
  read();
}

void Connection::set_deadline(std::optional<std::chrono::milliseconds> from_now) {
  deadline_.reset();
  if (!from_now) return;
  deadline_ = Clock::now() + *from_now;
  if (!timer_runs_ || timer_.expiry() > *deadline_) await_deadline();
}

// Deadlines move with every byte; the timer is set anew only when one comes earlier, or when it has rung too early.
void Connection::await_deadline() {
  timer_runs_ = true;
  timer_.expires_at(*deadline_);
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (error) return;  // set anew, or closed
    self->timer_runs_ = false;
    if (!self->deadline_ || self->state_ == State::kClosed) return;
    if (Clock::now() < *self->deadline_) return self->await_deadline();
    self->on_deadline();
  });
}

void Connection::on_deadline() {
  const bool has_begun =
      state_ == State::kBody || (state_ == State::kHead && (buffer_.size() > 0 || parser_->got_some()));
  if (!has_begun) return close();
  keeps_alive_ = false;
  refuse(408, "the request did not arrive in time");
}

}  // namespace hotaru::server
