#include "server/reply/running_reply.h"

#include <algorithm>
#include <utility>

#include "server/reply/reply_thread.h"

namespace hotaru::server {
namespace {

// Beyond so many bytes that the client has not taken, no more tokens are read: then the engine pauses the reply.
constexpr size_t kUnsentBytes = size_t{64} << 10;

class ReplyBody final : public BodyStream {
 public:
  explicit ReplyBody(std::shared_ptr<RunningReply> reply) : reply_(std::move(reply)) {}
  ReplyBody(const ReplyBody&) = delete;
  ReplyBody& operator=(const ReplyBody&) = delete;
  ~ReplyBody() override { reply_->leave(); }
  Chunk take() override { return reply_->take(); }

 private:
  const std::shared_ptr<RunningReply> reply_;
};

}  // namespace

// A reply that rings holds itself: its streams hold the callback that rings, and give_back() lets go of the streams.
void RunningReply::ring() {
  if (is_rung_.exchange(true)) return;
  ReplyThread::of_process().post([self = shared_from_this()] {
    self->is_rung_ = false;
    self->advance();
  });
}

void RunningReply::begin(std::vector<std::unique_ptr<ReplyStream>> streams) {
  for (std::unique_ptr<ReplyStream>& stream : streams) {
    samples_.push_back({.stream = std::move(stream), .parts = ReplyParts(parts_.dialect, parts_.wanted)});
  }
  parts_.exchange->on_gone([weak = weak_from_this()] {
    if (const std::shared_ptr<RunningReply> self = weak.lock()) self->leave();
  });
  has_begun_ = true;
  ring();
}

void RunningReply::refuse(const Error& error) {
  const std::shared_ptr<Exchange> exchange = parts_.exchange;
  HttpResponse response = parts_.delivery.refuse(error);
  give_back();
  exchange->respond(std::move(response));
}

BodyStream::Chunk RunningReply::take() {
  BodyStream::Chunk chunk;
  bool did_wait = false;
  {
    const std::lock_guard lock(mutex_);
    chunk.bytes = std::exchange(unsent_, {});
    chunk.is_last = is_complete_;
    did_wait = std::exchange(waits_for_client_, false);
  }
  if (did_wait) ring();
  return chunk;
}

void RunningReply::leave() {
  has_left_ = true;
  ring();
}

// --- on the ReplyThread

void RunningReply::advance() {
  if (!has_begun_ || parts_.exchange == nullptr) return;
  if (has_left_) return cut();
  for (int i = 0; i < static_cast<int>(samples_.size()); i++) {
    while (!samples_[static_cast<size_t>(i)].has_ended && read(i)) {
    }
    if (parts_.exchange == nullptr) return;  // refused
  }
  if (std::all_of(samples_.begin(), samples_.end(), [](const Sample& sample) { return sample.has_ended; })) {
    complete();
  } else if (std::exchange(has_new_bytes_, false)) {
    parts_.exchange->wake();
  }
}

// False: there is nothing more to read, for now or at all.
bool RunningReply::read(int index) {
  if (is_backed_up()) return false;
  Result<std::vector<ReplyPiece>> pieces =
      samples_[static_cast<size_t>(index)].stream->read(std::chrono::milliseconds(0));
  if (!pieces) {
    if (pieces.error().kind == ErrorKind::kTimeout) return false;
    return end_sample(index, std::move(pieces).error());
  }
  if (pieces->empty()) return end_sample(index, std::nullopt);
  write_pieces(index, *std::move(pieces));
  return true;
}

void RunningReply::write_pieces(int index, std::vector<ReplyPiece>&& pieces) {
  Sample& sample = samples_[static_cast<size_t>(index)];
  if (!has_started_) start();
  for (ReplyPiece& piece : pieces) {
    ReplyWriter::Delta delta{.sample = index, .piece = std::move(piece), .output = {}};
    delta.output = sample.parts.push(delta.piece.text);
    if (!delta.output.calls.empty()) sample.has_calls = true;
    append(parts_.writer->on_delta(delta));
  }
}

bool RunningReply::end_sample(int index, std::optional<Error> error) {
  Sample& sample = samples_[static_cast<size_t>(index)];
  sample.has_ended = true;
  const Reply& reply = sample.stream->result();
  if (index == 0) tell_end(error ? nullptr : &reply);
  // Before a byte has gone out an error still has a status of its own.
  if (error && !(parts_.delivery.streams && has_started_)) {
    refuse(*error);
    return false;
  }
  if (!has_started_) start();
  ReplyWriter::End end{.sample = index, .reply = reply, .output = sample.parts.finish(), .error = std::move(error)};
  end.has_calls = sample.has_calls || !end.output.calls.empty();
  append(parts_.writer->on_end(end));
  return false;
}

void RunningReply::start() {
  has_started_ = true;
  parts_.start.reused_tokens = samples_.front().stream->reused_tokens();
  parts_.writer->on_start(parts_.start);
  if (!parts_.delivery.streams) return;
  HttpResponse response;
  response.content_type = parts_.delivery.content_type;
  response.stream = std::make_unique<ReplyBody>(shared_from_this());
  parts_.exchange->respond(std::move(response));
}

// The client has left.
void RunningReply::cut() {
  if (parts_.on_end) {
    ReplyStream& stream = *samples_.front().stream;
    stream.abort();
    Result<std::vector<ReplyPiece>> pieces = std::vector<ReplyPiece>(1);
    while (pieces && !pieces->empty()) pieces = stream.read(std::chrono::milliseconds(0));
    if (!pieces && pieces.error().kind == ErrorKind::kTimeout) return;  // it rings when it has ended
    tell_end(pieces ? &stream.result() : nullptr);
  }
  give_back();
}

void RunningReply::tell_end(const Reply* reply) {
  if (const auto on_end = std::exchange(parts_.on_end, nullptr)) on_end(reply);
}

// The model is given back before the client hears of the end: whoever then asks finds it unused.
void RunningReply::complete() {
  const std::shared_ptr<Exchange> exchange = parts_.exchange;
  const bool streams = parts_.delivery.streams;
  append(parts_.writer->finish());
  HttpResponse response = streams ? HttpResponse() : parts_.writer->response();
  give_back();
  if (!streams) {
    exchange->respond(std::move(response));
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    is_complete_ = true;
  }
  exchange->wake();
}

// Aborts what still runs. The writer may point into the model, so it goes first.
void RunningReply::give_back() {
  samples_.clear();
  parts_.writer.reset();
  parts_.on_end = nullptr;
  parts_.lease = {};
  parts_.exchange.reset();
}

void RunningReply::append(std::string_view bytes) {
  if (!parts_.delivery.streams || bytes.empty()) return;
  has_new_bytes_ = true;
  const std::lock_guard lock(mutex_);
  unsent_ += bytes;
}

bool RunningReply::is_backed_up() {
  const std::lock_guard lock(mutex_);
  waits_for_client_ = unsent_.size() >= kUnsentBytes;
  return waits_for_client_;
}

}  // namespace hotaru::server
