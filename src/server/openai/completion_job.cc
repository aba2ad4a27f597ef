#include "server/openai/completion_job.h"

#include <utility>

#include "server/openai/answering.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kPath = "/v1/completions";

}  // namespace

CompletionJob::CompletionJob(CompletionRequest request, CompletionAnswer answer, std::shared_ptr<Exchange> exchange)
    : request_(std::move(request)),
      answer_(std::move(answer)),
      exchange_(std::move(exchange)),
      parts_(request_.prompts.size()) {}

void CompletionJob::start(ModelPool& pool) {
  // One more than there are: nothing is answered before everything has begun.
  unfinished_ = 1 + (reads() ? 1U : 0U) + (generates() ? parts_.size() : 0U);
  exchange_->on_gone([job = weak_from_this()] {
    if (const auto self = job.lock()) self->abandon();
  });
  if (reads()) begin_readings(pool);
  for (size_t i = 0; generates() && i < parts_.size(); i++) begin_reply(pool, i);
  finish_one();
}

void CompletionJob::begin_readings(ModelPool& pool) {
  ReadingsTask task;
  task.model = request_.task.model;
  task.lora = request_.task.lora;
  task.keep_alive = request_.task.keep_alive;
  task.texts = request_.prompts;
  task.top_logprobs = request_.logprobs;
  auto readings = TextReadings::start(
      pool, task, [self = shared_from_this()](const ModelLease& lease, Result<std::vector<ReadText>> texts) {
        if (!texts) return self->refuse(refusal(kPath, texts.error()));
        {
          const std::lock_guard lock(self->mutex_);
          self->lease_ = lease;
          self->scores_ = *std::move(texts);
        }
        self->finish_one();
      });
  const std::lock_guard lock(mutex_);
  readings_ = std::move(readings);
}

void CompletionJob::begin_reply(ModelPool& pool, size_t index) {
  const auto part = std::make_shared<PartExchange>(exchange_, [self = shared_from_this()](HttpResponse response) {
    if (response.status != 200) return self->refuse(std::move(response));
    self->finish_one();
  });
  {
    const std::lock_guard lock(mutex_);
    if (is_answered_) return;
    parts_[index].exchange = part;
  }
  ReplyTask task = request_.task;
  std::visit([&task](const auto& prompt) { task.prompt = prompt; }, request_.prompts[index]);
  CompletionAnswer answer = answer_;
  answer.streams = false;
  auto writer = std::make_unique<CompletionWriter>(std::move(answer), request_.prompts[index],
                                                   [self = shared_from_this(), index](CompletionPart generated) {
                                                     const std::lock_guard lock(self->mutex_);
                                                     self->parts_[index].generated = std::move(generated);
                                                   });
  run_reply(pool, std::move(task), std::move(writer),
            {.streams = false, .content_type = {}, .refuse = [](const Error& error) { return refusal(kPath, error); }},
            part);
}

void CompletionJob::finish_one() {
  {
    const std::lock_guard lock(mutex_);
    if (--unfinished_ > 0 || std::exchange(is_answered_, true)) return;
    readings_.reset();  // they know this job
  }
  std::vector<CompletionPart> parts;
  parts.reserve(parts_.size());
  for (size_t i = 0; i < parts_.size(); i++) parts.push_back(whole_part(i));
  exchange_->respond(completion_response(answer_, std::move(parts)));
}

CompletionPart CompletionJob::whole_part(size_t index) {
  CompletionPart whole = std::move(parts_[index].generated);
  if (!reads()) return whole;
  const ReadText& read = scores_[index];
  const LanguageModel& model = lease_.engine->model();
  if (!generates()) {
    whole.prompt = prompt_text(request_.prompts[index], &model);
    whole.prompt_tokens = static_cast<int>(read.ids.size());
    whole.choices.assign(static_cast<size_t>(request_.choices), {"", nullptr, "length"});
  }
  CompletionLogprobs scores(0, request_.logprobs > 0);
  for (size_t i = 0; i < read.ids.size(); i++) {
    scores.add(model, read.ids[i], read.reading.scores[i].logprob, read.reading.scores[i].top);
  }
  const Json prompt_logprobs = scores.take();
  for (CompletionPart::Choice& choice : whole.choices) {
    Json logprobs = prompt_logprobs;
    if (choice.logprobs.is_object()) append_logprobs(logprobs, choice.logprobs);
    choice.logprobs = std::move(logprobs);
  }
  return whole;
}

void CompletionJob::refuse(HttpResponse response) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_answered_, true)) return;
  }
  exchange_->respond(std::move(response));
  abandon();
}

void CompletionJob::abandon() {
  std::vector<std::shared_ptr<PartExchange>> exchanges;
  std::shared_ptr<TextReadings> readings;
  {
    const std::lock_guard lock(mutex_);
    is_answered_ = true;
    for (const Part& part : parts_) {
      if (auto exchange = part.exchange.lock()) exchanges.push_back(std::move(exchange));
    }
    readings = std::exchange(readings_, nullptr);
  }
  for (const auto& exchange : exchanges) exchange->leave();
  if (readings) readings->abort();
}

}  // namespace hotaru::server
