// Texts that are read, not continued, several together: how likely their tokens are, or where the model places them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/reply/reply_task.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

struct ReadingsTask {
  std::string model;
  std::string lora;
  std::optional<KeepAlive> keep_alive;
  std::vector<RawPrompt> texts;
  int top_logprobs = -1;  // -1: no scores
  bool wants_embedding = false;
  bool cuts_texts = false;  // those that are longer than the context; otherwise that is an error
};

struct ReadText {
  std::vector<int32_t> ids;
  Reading reading;
};

class TextReadings : public std::enable_shared_from_this<TextReadings> {
 public:
  // Of what was read, in order; the lease is empty when there is an error.
  using Done = std::function<void(const ModelLease&, Result<std::vector<ReadText>>)>;

  // Blocks for the model's load only. `on_done` is called once: on the ReplyThread, or here if nothing could begin.
  static std::shared_ptr<TextReadings> start(ModelPool& pool, const ReadingsTask& task, Done on_done);
  explicit TextReadings(Done on_done) : on_done_(std::move(on_done)) {}
  // From any thread; on_done is called with kAborted then, unless it has been.
  void abort();

 private:
  Result<void> begin(ModelPool& pool, const ReadingsTask& task);
  Result<void> submit(const ReadingsTask& task, size_t index, int adapter);
  void settle(size_t index, Result<Reading> result);
  void finish_one();
  void complete();

  Done on_done_;
  ModelLease lease_;
  std::mutex mutex_;  // of what follows
  std::vector<ReadText> texts_;
  std::vector<ReadingTicket> tickets_;
  std::optional<Error> error_;
  size_t unfinished_ = 0;  // texts, and begin()
  bool is_aborted_ = false;
};

}  // namespace hotaru::server
