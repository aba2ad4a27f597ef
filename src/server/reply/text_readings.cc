#include "server/reply/text_readings.h"

#include <utility>

#include "server/reply/reply_prompt.h"
#include "server/reply/reply_thread.h"

namespace hotaru::server {

std::shared_ptr<TextReadings> TextReadings::start(ModelPool& pool, const ReadingsTask& task, Done on_done) {
  auto readings = std::make_shared<TextReadings>(std::move(on_done));
  if (auto begun = readings->begin(pool, task); !begun) {
    readings->lease_ = {};
    std::exchange(readings->on_done_, {})({}, std::move(begun).error());
  }
  return readings;
}

Result<void> TextReadings::begin(ModelPool& pool, const ReadingsTask& task) {
  TRY_ASSIGN(lease_, pool.acquire(task.model, task.keep_alive));
  const LanguageModel& model = lease_.engine->model();
  int adapter = lease_.adapter;
  if (!task.lora.empty()) {
    TRY_ASSIGN(adapter, find_adapter(model.device().info(), task.lora));
  }
  for (const RawPrompt& text : task.texts) {
    ReplyTask prompt;
    prompt.cuts_prompt = task.cuts_texts;
    std::visit([&prompt](const auto& given) { prompt.prompt = given; }, text);
    TRY_ASSIGN(ReplyPrompt encoded, encode_prompt(prompt, lease_.stored, model));
    texts_.push_back({std::move(encoded.ids), {}});
  }
  // One more than texts: complete() must not take them and the engine away from under this loop.
  const size_t count = texts_.size();
  unfinished_ = count + 1;
  for (size_t i = 0; i < count; i++) {
    if (auto begun = submit(task, i, adapter); !begun) settle(i, std::move(begun).error());
  }
  finish_one();
  return {};
}

Result<void> TextReadings::submit(const ReadingsTask& task, size_t index, int adapter) {
  ReadingRequest request;
  {
    const std::lock_guard lock(mutex_);
    if (is_aborted_ || error_) return make_error(ErrorKind::kAborted, "the reading was stopped");
    request.ids = texts_[index].ids;
  }
  request.adapter = adapter;
  request.top_logprobs = task.top_logprobs;
  request.wants_embedding = task.wants_embedding;
  request.on_done = [self = shared_from_this(), index](Result<Reading> result) {
    self->settle(index, std::move(result));
  };
  TRY_ASSIGN(ReadingTicket ticket, lease_.engine->submit_reading(std::move(request)));
  const std::lock_guard lock(mutex_);
  if (is_aborted_ || error_) ticket.abort();
  tickets_.push_back(std::move(ticket));
  return {};
}

void TextReadings::settle(size_t index, Result<Reading> result) {
  std::vector<ReadingTicket> others;
  {
    const std::lock_guard lock(mutex_);
    if (result) {
      texts_[index].reading = *std::move(result);
    } else if (!error_) {
      error_ = std::move(result).error();
      others = tickets_;
    }
  }
  for (const ReadingTicket& ticket : others) ticket.abort();
  finish_one();
}

void TextReadings::finish_one() {
  {
    const std::lock_guard lock(mutex_);
    if (--unfinished_ > 0) return;
  }
  ReplyThread::of_process().post([self = shared_from_this()] { self->complete(); });
}

// On the ReplyThread: the engine's own thread could not give the engine back.
void TextReadings::complete() {
  std::vector<ReadText> texts;
  {
    const std::lock_guard lock(mutex_);
    texts = std::move(texts_);
    tickets_.clear();  // they know this object
  }
  const ModelLease lease = std::exchange(lease_, {});
  const Done done = std::exchange(on_done_, {});
  if (error_) return done({}, *error_);
  done(lease, std::move(texts));
}

void TextReadings::abort() {
  std::vector<ReadingTicket> tickets;
  {
    const std::lock_guard lock(mutex_);
    is_aborted_ = true;
    tickets = tickets_;
  }
  for (const ReadingTicket& ticket : tickets) ticket.abort();
}

}  // namespace hotaru::server
