#include "genai/reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <mutex>
#include <numeric>

#include "genai/engine_core.h"
#include "genai/fake_device.h"
#include "genai/generator.h"
#include "genai/logprobs.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

LanguageModel model_of(std::unique_ptr<Device> device) {
  LanguageModel::Parts parts;
  parts.name = "fake";
  parts.device = std::move(device);
  return *LanguageModel::from_parts(std::move(parts));
}

std::unique_ptr<FakeDevice> fake_device(int context_tokens = 256, int pages = 64) {
  auto device = std::make_unique<FakeDevice>(64, context_tokens, pages);
  device->set_adapters({"a", "b"});
  return device;
}

struct Core : EngineCore {
  explicit Core(std::unique_ptr<Device> device, const EngineOptions& options = {})
      : EngineCore(model_of(std::move(device)), options, std::make_shared<EngineSignals>()) {}
  explicit Core(const EngineOptions& options = {}) : Core(fake_device(), options) {}
  [[nodiscard]] FakeDevice& device() const { return static_cast<FakeDevice&>(model().device()); }
};

std::vector<int32_t> some_ids(int count, int seed = 1) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; i++) ids.push_back((i * 7 + seed * 13) % 64);
  return ids;
}

struct Outcome {
  std::optional<Result<Reading>> reading;
  int calls = 0;
  [[nodiscard]] std::function<void(Result<Reading>)> sink() {
    return [this](Result<Reading> result) {
      reading = std::move(result);
      calls++;
    };
  }
};

ReadingRequest request_of(const std::vector<int32_t>& ids, int top_logprobs, bool wants_embedding) {
  ReadingRequest request;
  request.ids = ids;
  request.top_logprobs = top_logprobs;
  request.wants_embedding = wants_embedding;
  return request;
}

Result<Reading> read(EngineCore& core, ReadingRequest request) {
  Outcome outcome;
  request.on_done = outcome.sink();
  const auto submitted = core.submit_reading(std::move(request));
  if (!submitted) return submitted.error();
  while (!outcome.reading && core.step()) {
  }
  EXPECT_EQ(outcome.calls, 1);
  return *outcome.reading;
}

// What one token after the other on a device of one's own gives.
Reading stepped(Device& device, const std::vector<int32_t>& ids, int adapter, int top) {
  Reading reading;
  const int context = *device.create_context();
  device.set_adapter(context, adapter);
  reading.scores.resize(ids.size());
  for (int i = 0; i < static_cast<int>(ids.size()); i++) {
    EXPECT_TRUE(device.reserve(context, i, i + 1));
    device.step(std::vector<StepRow>{{ids[static_cast<size_t>(i)], i, context}});
    device.compute_logits(std::vector<int32_t>{0});
    const auto next = static_cast<size_t>(i) + 1;
    if (next < ids.size()) reading.scores[next] = score_token(device.logits(0), ids[next], top);
  }
  device.compute_hidden(std::vector<int32_t>{0});
  reading.embedding.assign(device.hidden(0).begin(), device.hidden(0).end());
  device.destroy_context(context);
  return reading;
}

double length_of(const std::vector<float>& v) {
  return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
}

void expect_equal(const Reading& got, const Reading& wanted) {
  ASSERT_EQ(got.scores.size(), wanted.scores.size());
  for (size_t i = 0; i < got.scores.size(); i++) {
    EXPECT_EQ(got.scores[i].logprob, wanted.scores[i].logprob) << i;
    ASSERT_EQ(got.scores[i].top.size(), wanted.scores[i].top.size());
    for (size_t j = 0; j < got.scores[i].top.size(); j++) {
      EXPECT_EQ(got.scores[i].top[j].id, wanted.scores[i].top[j].id);
      EXPECT_EQ(got.scores[i].top[j].logprob, wanted.scores[i].top[j].logprob);
    }
  }
  ASSERT_EQ(got.embedding.size(), wanted.embedding.size());
  const double length = length_of(wanted.embedding);
  for (size_t i = 0; i < got.embedding.size(); i++) EXPECT_NEAR(got.embedding[i], wanted.embedding[i] / length, 1e-6);
}

TEST(Reading, IsWhatSteppingGives) {
  for (const int chunk : {0, 1, 7, 64}) {
    for (const int adapter : {kNoAdapter, 1}) {
      Core core({.prefill_chunk = chunk});
      ReadingRequest request = request_of(some_ids(150), 3, true);
      request.adapter = adapter;
      const Result<Reading> got = read(core, request);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_FALSE(got->scores[0].logprob);
      EXPECT_NEAR(length_of(got->embedding), 1.0, 1e-6);
      expect_equal(*got, stepped(*fake_device(), request.ids, adapter, 3));
    }
  }
}

TEST(Reading, OfARealDevice) {
  DeviceOptions options;
  options.threads = 2;
  const std::string hef = std::string(HOTARU_SOURCE_DIR) + "/tests/data/hef/demo-v1.hef";
  Core core(*Device::open(hef, options), {.prefill_chunk = 11});
  options.threads = 1;
  const std::unique_ptr<Device> alone = *Device::open(hef, options);
  ASSERT_GT(alone->info().hidden_width, 0);
  const Result<Reading> got = read(core, request_of(some_ids(70), 2, true));
  ASSERT_TRUE(got) << got.error().message;
  expect_equal(*got, stepped(*alone, some_ids(70), kNoAdapter, 2));
}

TEST(Reading, GivesWhatWasAskedForOnly) {
  Core core;
  const Result<Reading> scores = read(core, request_of(some_ids(20), 0, false));
  ASSERT_TRUE(scores);
  EXPECT_EQ(scores->scores.size(), 20U);
  EXPECT_TRUE(scores->scores[1].top.empty());
  EXPECT_TRUE(scores->embedding.empty());
  int logits = 0;
  core.device().set_on_logits([&](std::span<const float>) { logits++; });
  const Result<Reading> embedding = read(core, request_of(some_ids(20), -1, true));
  ASSERT_TRUE(embedding);
  EXPECT_TRUE(embedding->scores.empty());
  EXPECT_EQ(embedding->embedding.size(), 8U);
  EXPECT_EQ(logits, 0);
  const Result<Reading> one = read(core, request_of(some_ids(1), 2, false));
  ASSERT_TRUE(one);
  ASSERT_EQ(one->scores.size(), 1U);
  EXPECT_FALSE(one->scores[0].logprob);
}

// The device has no logits behind its prefix tokens.
TEST(Reading, ATextThatBeginsWithThePrefixHasNoScoresUpToTheTokenBehindIt) {
  auto device = fake_device();
  device->set_prefix({5, 6});
  Core core(std::move(device));
  std::vector<int32_t> ids = some_ids(12);
  const Result<Reading> without = read(core, request_of(ids, 1, true));
  ids.insert(ids.begin(), {5, 6});
  const Result<Reading> with = read(core, request_of(ids, 1, true));
  ASSERT_TRUE(with);
  ASSERT_TRUE(without);
  ASSERT_EQ(with->scores.size(), 14U);
  for (size_t i = 0; i < 3; i++) EXPECT_FALSE(with->scores[i].logprob);
  for (size_t i = 3; i < 14; i++) EXPECT_EQ(with->scores[i].logprob, without->scores[i - 2].logprob);
  EXPECT_EQ(with->embedding, without->embedding);
}

// The same text as a context that holds whole pages of it, all of them stored.
TEST(Reading, OfAnEmbeddingReusesPagesAndStillSeesTheLastToken) {
  Core core;
  const std::vector<int32_t> ids = some_ids(FakeDevice::kPageTokens);
  const ContextId context = *core.create_context(kNoAdapter);
  GenerationRequest request;
  request.context = context;
  request.ids = ids;
  request.options.max_tokens = 0;
  ASSERT_TRUE(core.submit(request, 1));
  while (core.step()) {
  }
  const int before = core.device().stepped_tokens();
  const Result<Reading> got = read(core, request_of(ids, -1, true));
  ASSERT_TRUE(got);
  EXPECT_EQ(core.device().stepped_tokens() - before, 1);
  Core fresh;
  EXPECT_EQ(got->embedding, read(fresh, request_of(ids, -1, true))->embedding);
}

TEST(Reading, RefusesWhatItCannotRead) {
  Core core({.queued_requests = 0, .running_requests = 1});
  const auto refusal = [&](const ReadingRequest& request) { return read(core, request).error().message; };
  EXPECT_THAT(refusal(request_of({}, 0, false)), HasSubstr("the text has no tokens"));
  EXPECT_THAT(refusal(request_of({64}, 0, false)), HasSubstr("token id 64"));
  ReadingRequest request = request_of({1}, 0, false);
  request.adapter = 2;
  EXPECT_THAT(refusal(request), HasSubstr("adapter: got 2"));
  EXPECT_THAT(refusal(request_of(some_ids(257), -1, true)), HasSubstr("got 257 tokens, want at most 256"));
  EXPECT_TRUE(read(core, request_of(some_ids(257), 0, false)));  // nothing is read behind the last one
  EXPECT_THAT(refusal(request_of(some_ids(258), 0, false)), HasSubstr("got 257 tokens, want at most 256"));
  ASSERT_TRUE(core.submit_reading(request_of({1, 2}, 0, false)));
  EXPECT_THAT(refusal(request_of({1, 2}, 0, false)), HasSubstr("the queue is full"));
}

TEST(Reading, AnAbortEndsItWithinOneStep) {
  Core core({.running_requests = 1, .prefill_chunk = 8});
  Outcome running, queued;
  ReadingRequest request = request_of(some_ids(100), 0, true);
  request.on_done = running.sink();
  const ReadingTicket first(*core.submit_reading(request));
  request.on_done = queued.sink();
  const ReadingTicket second(*core.submit_reading(request));
  core.step();
  first.abort();
  second.abort();
  core.step();
  for (const Outcome* outcome : {&running, &queued}) {
    ASSERT_TRUE(outcome->reading);
    EXPECT_EQ(outcome->calls, 1);
    EXPECT_EQ(outcome->reading->error().kind, ErrorKind::kAborted);
  }
  EXPECT_TRUE(core.is_idle());
  first.abort();
}

// A reply decodes while readings take turns with it; what either gives is as it is alone.
TEST(Reading, BesideRepliesChangesNothing) {
  const std::vector<int32_t> prompt = some_ids(30, 3);
  GenerationOptions options;
  options.max_tokens = 60;
  options.sampling.seed = 9;
  const std::unique_ptr<FakeDevice> alone = fake_device();
  Context own = *Context::create(*alone);
  own.append(prompt);
  const std::vector<int32_t> wanted = generate(own, options, nullptr, nullptr)->token_ids;

  Core core({.running_requests = 4, .prefill_chunk = 5});
  GenerationRequest request;
  request.ids = prompt;
  request.options = options;
  const auto channel = (*core.submit(request, 1)).front();
  std::vector<Outcome> outcomes(3);
  for (size_t i = 0; i < outcomes.size(); i++) {
    ReadingRequest reading = request_of(some_ids(90, static_cast<int>(i)), 1, true);
    reading.on_done = outcomes[i].sink();
    ASSERT_TRUE(core.submit_reading(std::move(reading)));
  }
  while (core.step()) EXPECT_LE(core.scheduler().prompt_rows(), 5);
  EXPECT_EQ(channel->result().token_ids, wanted);
  for (size_t i = 0; i < outcomes.size(); i++) {
    ASSERT_TRUE(outcomes[i].reading && *outcomes[i].reading);
    expect_equal(**outcomes[i].reading, stepped(*alone, some_ids(90, static_cast<int>(i)), kNoAdapter, 1));
  }
}

TEST(Reading, TheEngineAnswersEveryReadingItTook) {
  std::mutex mutex;
  std::condition_variable changed;
  int answers = 0, aborted = 0;
  {
    const auto engine = *Engine::create(model_of(fake_device()), {.running_requests = 2});
    ReadingRequest request = request_of(some_ids(200), 2, true);
    request.on_done = [&](const Result<Reading>& result) {
      const std::lock_guard lock(mutex);
      answers++;
      aborted += result ? 0 : 1;
      changed.notify_all();
    };
    ASSERT_TRUE(engine->submit_reading(request));
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return answers == 1; });
    EXPECT_EQ(aborted, 0);
    lock.unlock();
    for (int i = 0; i < 20; i++) ASSERT_TRUE(engine->submit_reading(request));
  }
  EXPECT_EQ(answers, 21);
  EXPECT_GT(aborted, 0);
}

}  // namespace
}  // namespace hotaru
