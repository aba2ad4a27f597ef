// The readings of a random schedule (random_schedule.h): texts submitted beside replies, some aborted; each is what the
// same text gives when it is read alone on another device.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "genai/engine_core.h"
#include "genai/text_reader.h"
#include "tensor/random.h"

namespace hotaru {

class RandomReadings {
 public:
  RandomReadings(Device& alone, uint64_t seed, bool pages_are_scarce)
      : alone_(&alone), random_(seed, 2), pages_are_scarce_(pages_are_scarce) {}

  // A text that begins like a prompt. Sometimes one that is on its way is aborted.
  void submit(EngineCore& core, std::vector<int32_t> ids, const std::vector<int32_t>& more) {
    check_ended();
    auto taken = std::make_unique<Taken>();
    ReadingRequest& request = taken->request;
    request.adapter = below(static_cast<int>(alone_->info().adapters.size()) + 1) - 1;
    ids.insert(ids.end(), more.begin(), more.end());
    ids.resize(std::min(ids.size(), static_cast<size_t>(alone_->info().context_tokens)));
    request.ids = std::move(ids);
    request.top_logprobs = below(4) - 1;
    request.wants_embedding = below(2) == 0;
    ReadingRequest submitted = request;
    submitted.on_done = [at = taken.get()](Result<Reading> result) {
      EXPECT_FALSE(at->result);
      at->result = std::move(result);
    };
    const auto channel = core.submit_reading(std::move(submitted));
    if (!channel) {
      EXPECT_EQ(channel.error().kind, ErrorKind::kBusy) << channel.error().message;
      return;
    }
    taken->channel = *channel;
    taken_.push_back(std::move(taken));
    if (below(4) != 0) return;
    Taken& some = *taken_[static_cast<size_t>(below(static_cast<int>(taken_.size())))];
    some.channel->abort();
    some.is_aborted = true;
  }

  void check_ended() {
    for (const auto& taken : taken_) {
      if (taken->result) check(*taken);
    }
    std::erase_if(taken_, [](const auto& taken) { return taken->result.has_value(); });
  }
  [[nodiscard]] bool empty() const { return taken_.empty(); }
  [[nodiscard]] int checked() const { return checked_; }

 private:
  struct Taken {
    ReadingRequest request;
    std::shared_ptr<ReplyChannel> channel;
    bool is_aborted = false;
    std::optional<Result<Reading>> result;
  };
  int below(int bound) { return static_cast<int>(random_.next_below(static_cast<uint32_t>(bound))); }

  void check(const Taken& taken) {
    if (!*taken.result) {
      const Error& error = taken.result->error();
      const bool may_be = taken.is_aborted ? error.kind == ErrorKind::kAborted
                                           : pages_are_scarce_ && error.kind == ErrorKind::kNoMemory;
      EXPECT_TRUE(may_be) << error.message;
      return;
    }
    const Reading& got = **taken.result;
    const Reading wanted = read_alone(taken.request);
    EXPECT_EQ(got.embedding, wanted.embedding);
    ASSERT_EQ(got.scores.size(), wanted.scores.size());
    for (size_t i = 0; i < got.scores.size(); i++) {
      EXPECT_EQ(got.scores[i].logprob, wanted.scores[i].logprob);
      ASSERT_EQ(got.scores[i].top.size(), wanted.scores[i].top.size());
      for (size_t j = 0; j < got.scores[i].top.size(); j++) {
        EXPECT_EQ(got.scores[i].top[j].id, wanted.scores[i].top[j].id);
      }
    }
    checked_++;
  }
  Reading read_alone(ReadingRequest request) {
    Reading reading;
    request.on_done = [&reading](Result<Reading> result) { reading = *std::move(result); };
    TextReader reader(request, 0);
    Context context = *Context::create(*alone_, request.adapter);
    context.append(reader.stored_ids());
    GenerationOptions options;
    options.max_tokens = 0;
    Generation::Outlets outlets;
    outlets.reader = &reader;
    Generation generation = *Generation::begin(context, options, outlets);
    Scheduler scheduler(*alone_, {});
    scheduler.add(generation);
    while (scheduler.step()) {
    }
    reader.finish(std::nullopt);
    return reading;
  }

  Device* alone_;
  Random random_;
  bool pages_are_scarce_;
  int checked_ = 0;
  std::vector<std::unique_ptr<Taken>> taken_;
};

}  // namespace hotaru
