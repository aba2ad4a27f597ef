// A completion of several prompts, or one whose prompts are scored too: a reply and a reading for each of them, and one
// answer when all are there.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "server/http/exchange.h"
#include "server/openai/completion_request.h"
#include "server/openai/completion_writer.h"
#include "server/openai/part_exchange.h"
#include "server/reply/text_readings.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

class CompletionJob : public std::enable_shared_from_this<CompletionJob> {
 public:
  CompletionJob(CompletionRequest request, CompletionAnswer answer, std::shared_ptr<Exchange> exchange);
  // Blocks for the model's load only.
  void start(ModelPool& pool);

 private:
  struct Part {
    CompletionPart generated;
    std::weak_ptr<PartExchange> exchange;
  };
  [[nodiscard]] bool reads() const { return request_.echoes && request_.logprobs >= 0; }
  [[nodiscard]] bool generates() const { return request_.task.max_tokens != 0 || !reads(); }
  void begin_readings(ModelPool& pool);
  void begin_reply(ModelPool& pool, size_t index);
  void finish_one();
  void refuse(HttpResponse response);
  void abandon();
  [[nodiscard]] CompletionPart whole_part(size_t index);

  CompletionRequest request_;
  const CompletionAnswer answer_;
  const std::shared_ptr<Exchange> exchange_;
  std::mutex mutex_;  // of what follows
  std::vector<Part> parts_;
  std::shared_ptr<TextReadings> readings_;
  ModelLease lease_;              // of what was read
  std::vector<ReadText> scores_;  // of the prompts
  size_t unfinished_ = 0;
  bool is_answered_ = false;
};

}  // namespace hotaru::server
