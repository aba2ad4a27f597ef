// A reply between its engine and its exchange. Its samples are read, its writer called and all it holds is given back
// on the ReplyThread; the engine's thread and the connection's only ring.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "genai/engine.h"
#include "server/http/exchange.h"
#include "server/reply/reply_parts.h"
#include "server/reply/reply_task.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

class RunningReply : public std::enable_shared_from_this<RunningReply> {
 public:
  struct Parts {
    ModelLease lease;
    ReplyWriter::Start start;
    ReplyDialect dialect;
    ReplyParts::Wanted wanted;
    std::unique_ptr<ReplyWriter> writer;
    ReplyDelivery delivery;
    std::shared_ptr<Exchange> exchange;
    // Of whoever keeps what the reply writes: called once on the ReplyThread, before the client hears of the end, with
    // the first sample's reply (nullptr: it failed). A reply whose client has left is cut and then ended, too.
    std::function<void(const Reply* reply)> on_end = {};
  };
  explicit RunningReply(Parts parts) : parts_(std::move(parts)) {}

  // Until begin().
  [[nodiscard]] Parts& parts() { return parts_; }
  // Something has happened: advance() soon. Any thread, also before begin().
  void ring();
  void begin(std::vector<std::unique_ptr<ReplyStream>> streams);
  // Before begin(), instead of it.
  void refuse(const Error& error);

  // The connection's side.
  BodyStream::Chunk take();
  void leave();

 private:
  struct Sample {
    std::unique_ptr<ReplyStream> stream;
    ReplyParts parts;
    bool has_calls = false;
    bool has_ended = false;
  };
  void advance();
  bool read(int index);
  void write_pieces(int index, std::vector<ReplyPiece>&& pieces);
  bool end_sample(int index, std::optional<Error> error);
  void start();
  void cut();
  void complete();
  void tell_end(const Reply* reply);
  void give_back();
  void append(std::string_view bytes);
  [[nodiscard]] bool is_backed_up();

  // Until begin() the caller's, then the ReplyThread's.
  Parts parts_;
  std::vector<Sample> samples_;
  bool has_started_ = false;
  bool has_new_bytes_ = false;

  std::atomic<bool> is_rung_{false};
  std::atomic<bool> has_begun_{false};
  std::atomic<bool> has_left_{false};  // the client
  std::mutex mutex_;                   // of what follows
  std::string unsent_;
  bool is_complete_ = false;
  bool waits_for_client_ = false;
};

}  // namespace hotaru::server
