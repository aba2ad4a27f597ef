#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "server/http/answer_head.h"
#include "server/http/connection.h"
#include "server/request/errors.h"

namespace hotaru::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kLingerTime{2};

}  // namespace

void Connection::post_answer(HttpResponse response) {
  asio::post(home_.io, [self = shared_from_this(), link = link_.get(), response = std::move(response)]() mutable {
    if (self->link_.get() == link && self->state_ == State::kAnswering) self->answer(std::move(response));
  });
}

void Connection::post_wake() {
  asio::post(home_.io, [self = shared_from_this()] {
    if (self->stream_ && !self->is_writing_) self->pump();
  });
}

void Connection::turn_away() {
  began_ = Clock::now();
  keeps_alive_ = false;
  refuse(503, "too many connections; try again later");
}

void Connection::refuse(int status, std::string_view message, NamedValues headers) {
  HttpResponse response = error_response(request_.path, status, message);
  for (auto& header : headers) response.headers.push_back(std::move(header));
  answer(std::move(response));
}

void Connection::answer(HttpResponse response) {
  state_ = State::kAnswering;
  has_answer_ = true;
  record_.status = response.status;
  is_chunked_ = response.stream != nullptr && !is_old_client_;
  if (response.stream && is_old_client_) keeps_alive_ = false;
  AnswerHead head{.status = response.status,
                  .content_type = response.content_type,
                  .content_bytes = response.body.size(),
                  .is_chunked = is_chunked_,
                  .keeps_alive = keeps_alive_,
                  .headers = std::move(response.headers)};
  if (response.stream) head.content_bytes.reset();
  for (const auto& header : gate_headers_) head.headers.push_back(header);
  if (!record_.id.empty()) head.headers.emplace_back("X-Request-Id", record_.id);
  next_out_ += head_text(head);
  if (!is_head_) {
    next_out_ += response.body;
    record_.body_bytes = response.body.size();
    stream_ = std::move(response.stream);
  }
  if (!is_writing_) flush();
  read();
}

void Connection::pump() {
  BodyStream::Chunk chunk = stream_->take();
  record_.body_bytes += chunk.bytes.size();
  stream_ended_ = chunk.is_last;
  if (is_chunked_) {
    send(chunk_text(chunk.bytes, chunk.is_last));
  } else {
    send(chunk.bytes);
  }
  if (is_writing_) return;
  set_deadline({});  // nothing to send: it is not the client who is late
  if (stream_ended_) finish_answer();
}

void Connection::send(std::string_view bytes) {
  next_out_ += bytes;
  if (!is_writing_) flush();
}

void Connection::flush() {
  if (next_out_.empty()) return;
  out_.swap(next_out_);
  next_out_.clear();
  out_done_ = 0;
  on_written(0);
}

void Connection::on_written(size_t bytes) {
  out_done_ += bytes;
  is_writing_ = out_done_ < out_.size();
  if (!is_writing_) return on_all_written();
  if (state_ == State::kAnswering) set_deadline(home_.options.write_timeout);
  socket_.async_write_some(asio::buffer(out_.data() + out_done_, out_.size() - out_done_),
                           [self = shared_from_this()](error_code error, size_t written) {
                             if (self->state_ == State::kClosed) return;
                             if (error) return self->close();
                             self->on_written(written);
                           });
}

void Connection::on_all_written() {
  if (!next_out_.empty()) return flush();
  if (state_ != State::kAnswering || !has_answer_) return;
  if (stream_ && !stream_ended_) return pump();
  finish_answer();
}

void Connection::record(bool is_cut) {
  record_.is_cut = is_cut;
  record_.duration = Clock::now() - began_;
  home_.body_bytes -= std::exchange(body_in_memory_, 0);
  if (home_.options.on_request_done) home_.options.on_request_done(record_);
  record_ = {};
}

void Connection::finish_answer() {
  if (link_) link_->finish();
  link_.reset();
  stream_.reset();
  body_file_.reset();
  body_part_.clear();
  record(false);
  request_ = {};
  gate_headers_.clear();
  route_ = nullptr;
  has_answer_ = stream_ended_ = is_head_ = false;
  if (keeps_alive_ && !reads_ended_ && !home_.is_stopping) return next_request();
  linger();
}

// Closing with bytes unread resets the connection, and a reset may overtake the answer: the client is let finish.
void Connection::linger() {
  if (reads_ended_) return close();
  state_ = State::kLingering;
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) return close();
  buffer_.consume(buffer_.size());
  set_deadline(kLingerTime);
  read();
}

void Connection::stop() {
  if (state_ == State::kAnswering) {
    keeps_alive_ = false;
  } else {
    close();
  }
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();  // the home may hold the last one
  const State before = std::exchange(state_, State::kClosed);
  if (link_) link_->leave();
  link_.reset();
  stream_.reset();
  body_file_.reset();
  if (before != State::kHead && before != State::kLingering) record(true);
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  home_.connections.erase(self);
  if (home_.connections.empty()) home_.on_empty();
}

}  // namespace hotaru::server
