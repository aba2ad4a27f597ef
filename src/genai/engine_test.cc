// The engine with its thread. What replies say is tested without one (engine_core_test.cc, schedule_test.cc).
#include "genai/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "genai/fake_device.h"

namespace hotaru {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kLong{60000};

GenerationRequest request_of(std::vector<int32_t> ids, int max_tokens, uint64_t seed = 1) {
  GenerationRequest request;
  request.ids = std::move(ids);
  request.options.max_tokens = max_tokens;
  request.options.sampling.seed = seed;
  return request;
}

std::vector<int32_t> alone(const GenerationRequest& request) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(request.ids);
  return generate(context, request.options, nullptr, nullptr)->token_ids;
}

// Holds the device in its steps until it is let go.
class Gate {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    waiting_++;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_open_; });
    waiting_--;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
  int waiting_ = 0;
};

struct FakeEngine {
  explicit FakeEngine(const EngineOptions& options = {}, std::function<void()> on_step = nullptr) {
    auto device = std::make_unique<FakeDevice>(64, 256, 64);
    device->set_on_step(std::move(on_step));
    LanguageModel::Parts parts;
    parts.name = "fake";
    parts.device = std::move(device);
    engine = *Engine::create(*LanguageModel::from_parts(std::move(parts)), options);
  }
  Engine* operator->() const { return engine.get(); }
  std::unique_ptr<Engine> engine;
};

// All ids of a reply, read as they come; the pieces of one read are never empty.
std::vector<int32_t> read_all(ReplyStream& stream, milliseconds pause = milliseconds(0)) {
  std::vector<int32_t> ids;
  while (true) {
    const Result<std::vector<ReplyPiece>> pieces = stream.read(kLong);
    EXPECT_TRUE(pieces);
    if (!pieces || pieces->empty()) return ids;
    for (const ReplyPiece& piece : *pieces) ids.push_back(piece.id);
    std::this_thread::sleep_for(pause);
  }
}

TEST(Engine, ManyThreadsGetWhatEachWouldGetAlone) {
  const FakeEngine engine({.running_requests = 3, .unread_pieces = 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; t++) {
    threads.emplace_back([&engine, t] {
      for (int i = 0; i < 8; i++) {
        const GenerationRequest request = request_of({t, i, 5, t + i}, 3 + (t * i) % 20, static_cast<uint64_t>(i));
        const std::unique_ptr<ReplyStream> stream = *engine->submit(request);
        EXPECT_EQ(read_all(*stream, milliseconds(t == 0 ? 1 : 0)), alone(request));
        EXPECT_EQ(stream->result().status, ReplyStatus::kMaxTokens);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(engine->state().running_requests, 0);
}

TEST(Engine, ContextsFromManyThreads) {
  const FakeEngine engine({.unread_pieces = 3});  // no reply ends before it is read
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; t++) {
    threads.emplace_back([&engine, t] {
      const ContextId context = *engine->create_context(kNoAdapter);
      GenerationRequest request = request_of({t, 2, 3}, 10);
      request.context = context;
      const std::unique_ptr<ReplyStream> stream = *engine->submit(request);
      EXPECT_EQ(engine->submit(request).error().kind, ErrorKind::kBusy);
      EXPECT_EQ(engine->clear_context(context).error().kind, ErrorKind::kBusy);
      EXPECT_EQ(read_all(*stream), alone(request));
      const ContextId twin = *engine->fork_context(context);
      EXPECT_EQ(engine->context_state(twin)->ids, engine->context_state(context)->ids);
      EXPECT_TRUE(engine->clear_context(context));
      EXPECT_EQ(engine->context_state(twin)->ids.size(), 13U);
      engine->destroy_context(context);
      EXPECT_EQ(engine->context_state(context).error().kind, ErrorKind::kNotFound);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(engine->state().contexts, 6);
}

TEST(Engine, ASlowReaderStopsOnlyItsOwnReply) {
  const FakeEngine engine({.running_requests = 1, .unread_pieces = 3});
  const GenerationRequest slow_request = request_of({1, 2}, 50);
  const std::unique_ptr<ReplyStream> slow = *engine->submit(slow_request);
  // Nobody reads the first, and there is one place only.
  const GenerationRequest quick_request = request_of({3, 4}, 50);
  const std::unique_ptr<ReplyStream> quick = *engine->submit(quick_request);
  EXPECT_EQ(read_all(*quick), alone(quick_request));
  EXPECT_FALSE(slow->has_ended());
  EXPECT_EQ(slow->read(kLong)->size(), 3U);
  const std::vector<int32_t> rest = read_all(*slow);
  EXPECT_EQ(rest.size(), 47U);
  EXPECT_EQ(slow->result().token_ids, alone(slow_request));
}

TEST(Engine, EveryChunkOfThePromptRenewsTheTimeout) {
  const FakeEngine engine({.prefill_chunk = 2}, [] { std::this_thread::sleep_for(milliseconds(20)); });
  const std::unique_ptr<ReplyStream> stream = *engine->submit(request_of(std::vector<int32_t>(40, 7), 1));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(stream->read(milliseconds(250))->size(), 1U);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(390));
}

TEST(Engine, AReadTimesOutWhenNothingMoves) {
  Gate gate;
  const FakeEngine engine({}, [&gate] { gate.wait(); });
  const std::unique_ptr<ReplyStream> stream = *engine->submit(request_of({1, 2}, 4));
  EXPECT_EQ(stream->read(milliseconds(20)).error().kind, ErrorKind::kTimeout);
  EXPECT_EQ(stream->read(milliseconds(0)).error().kind, ErrorKind::kTimeout);
  gate.open();
  EXPECT_EQ(read_all(*stream).size(), 4U);
}

TEST(Engine, AbortTakesEffectWithinOneToken) {
  std::atomic<int> steps = 0;
  std::atomic<int> steps_at_abort = 0;
  std::atomic<ReplyStream*> reply = nullptr;
  const FakeEngine engine({}, [&] {
    if (++steps == 20 && reply.load() != nullptr) {
      reply.load()->abort();
      steps_at_abort = 20;
    }
    while (reply.load() == nullptr) std::this_thread::yield();
  });
  const std::unique_ptr<ReplyStream> stream = *engine->submit(request_of({1, 2}, 200));
  reply = stream.get();
  EXPECT_EQ(read_all(*stream).size(), 20U);  // the step that was being played brings one more
  EXPECT_EQ(stream->result().status, ReplyStatus::kAborted);
  EXPECT_EQ(steps, 20);
}

TEST(Engine, AContextIsFreeWhenItsStreamIsGone) {
  const FakeEngine engine;
  const ContextId context = *engine->create_context(kNoAdapter);
  for (int i = 0; i < 100; i++) {
    GenerationRequest request = request_of({1, 2, 3}, 100);
    request.context = context;
    request.replaces = true;
    std::unique_ptr<ReplyStream> stream = *engine->submit(request);
    stream.reset();
    ASSERT_TRUE(engine->set_adapter(context, kNoAdapter));
  }
}

TEST(Engine, OnReadyIsCalledForEveryReadAndNotAfterTheStreamIsGone) {
  const FakeEngine engine;
  std::mutex mutex;
  std::condition_variable changed;
  int calls = 0;
  GenerationRequest request = request_of({1, 2}, 5);
  request.on_ready = [&] {
    const std::lock_guard lock(mutex);
    calls++;
    changed.notify_all();
  };
  std::unique_ptr<ReplyStream> stream = *engine->submit(request);
  std::vector<int32_t> ids;
  for (int seen = 0; ids.size() < 5 || !stream->has_ended();) {
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return calls > seen; });
      seen = calls;
    }
    const Result<std::vector<ReplyPiece>> pieces = stream->read(milliseconds(0));
    if (!pieces) continue;
    for (const ReplyPiece& piece : *pieces) ids.push_back(piece.id);
  }
  EXPECT_EQ(ids, alone(request));
  request.options.max_tokens = 100;
  stream = *engine->submit(request);
  stream.reset();
  int before = 0;
  {
    const std::lock_guard lock(mutex);
    before = calls;
  }
  EXPECT_TRUE(engine->drain(kLong));
  EXPECT_EQ(calls, before);
}

TEST(Engine, AFullQueueRefusesAtOnce) {
  Gate gate;
  const FakeEngine engine({.queued_requests = 2, .running_requests = 1}, [&gate] { gate.wait(); });
  std::vector<std::unique_ptr<ReplyStream>> streams;
  streams.push_back(*engine->submit(request_of({1}, 3)));
  gate.wait_until_reached();
  std::thread opener([&gate] {
    std::this_thread::sleep_for(milliseconds(100));
    gate.open();
  });
  // A turn with the engine comes after its step.
  Result<std::unique_ptr<ReplyStream>> last = engine->submit(request_of({1}, 200));
  opener.join();
  streams.push_back(*std::move(last));
  int refused = 0;
  for (int i = 0; i < 50 && refused == 0; i++) {
    Result<std::unique_ptr<ReplyStream>> more = engine->submit(request_of({1}, 200));
    if (more) {
      streams.push_back(*std::move(more));
    } else {
      EXPECT_EQ(more.error().kind, ErrorKind::kBusy);
      EXPECT_THAT(more.error().message, HasSubstr("queue is full"));
      refused++;
    }
  }
  EXPECT_EQ(refused, 1);
  for (const auto& stream : streams) read_all(*stream);
}

TEST(Engine, DrainLetsRepliesEndAndTakesNoMore) {
  const FakeEngine engine;
  const std::unique_ptr<ReplyStream> stream = *engine->submit(request_of({1, 2}, 200));
  EXPECT_TRUE(engine->drain(kLong));
  EXPECT_TRUE(stream->has_ended());
  EXPECT_EQ(stream->result().token_ids.size(), 200U);
  EXPECT_EQ(engine->submit(request_of({1}, 1)).error().kind, ErrorKind::kBusy);
}

TEST(Engine, DrainGivesUpOnAReplyThatNobodyReads) {
  const FakeEngine engine({.unread_pieces = 3});
  const std::unique_ptr<ReplyStream> stream = *engine->submit(request_of({1, 2}, 200));
  EXPECT_FALSE(engine->drain(milliseconds(20)));
  EXPECT_FALSE(stream->has_ended());
}

TEST(Engine, AStreamOutlivesTheEngine) {
  std::unique_ptr<ReplyStream> running, queued;
  {
    const FakeEngine engine({.running_requests = 1, .unread_pieces = 3});
    running = *engine->submit(request_of({1, 2}, 200));
    EXPECT_EQ(running->read(kLong).ok(), true);
    queued = *engine->submit(request_of({1, 2}, 200));
  }
  EXPECT_TRUE(running->has_ended());
  read_all(*running);
  EXPECT_EQ(running->result().status, ReplyStatus::kAborted);
  read_all(*queued);
  EXPECT_EQ(queued->result().status, ReplyStatus::kAborted);
  running->abort();
}

TEST(Engine, SamplesOfOnePromptAreThoseOfTheirSeeds) {
  const FakeEngine engine;
  const GenerationRequest request = request_of({9, 8, 7, 6, 5, 4}, 12, 40);
  std::vector<std::unique_ptr<ReplyStream>> streams = *engine->submit_samples(request, 4);
  ASSERT_EQ(streams.size(), 4U);
  for (size_t i = 0; i < streams.size(); i++) {
    GenerationRequest one = request;
    one.options.sampling.seed += i;
    EXPECT_EQ(read_all(*streams[i]), alone(one)) << i;
  }
  EXPECT_EQ(engine->state().prompt_tokens, 6U + 3U);  // each of the forks computes the last token's logits again
}

TEST(Engine, RefusesBadRequestsAndOptions) {
  const FakeEngine engine;
  EXPECT_THAT(engine->submit(request_of({}, 1)).error().message, HasSubstr("no tokens"));
  EXPECT_THAT(engine->submit(request_of({64}, 1)).error().message, HasSubstr("token id 64"));
  GenerationRequest request = request_of({1}, 1);
  request.adapter = 0;
  EXPECT_THAT(engine->submit(request).error().message, HasSubstr("adapter: got 0"));
  request = request_of({1}, 1);
  request.options.sampling.top_p = 2.0F;
  EXPECT_THAT(engine->submit(request).error().message, HasSubstr("top_p"));
  request = request_of({}, 1);
  request.resumes = true;
  EXPECT_THAT(engine->submit(request).error().message, HasSubstr("no cut reply"));
  request = request_of({1}, 1);
  request.context = ContextId{77};
  EXPECT_EQ(engine->submit(request).error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(engine->submit_samples(request_of({1}, 1), 0).error().message, HasSubstr("samples"));
  EXPECT_FALSE(engine->create_context(3));

  std::unique_ptr<ReplyStream> stream = *engine->submit(request_of(std::vector<int32_t>(300, 1), 1));
  const Result<std::vector<ReplyPiece>> pieces = stream->read(kLong);
  ASSERT_FALSE(pieces);
  EXPECT_THAT(pieces.error().message, HasSubstr("context is full"));
  EXPECT_TRUE(stream->has_ended());
}

}  // namespace
}  // namespace hotaru
