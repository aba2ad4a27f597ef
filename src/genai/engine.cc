#include "genai/engine.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "genai/engine_core.h"

namespace hotaru {
namespace {

class ChannelStream final : public ReplyStream {
 public:
  explicit ChannelStream(std::shared_ptr<ReplyChannel> channel) : channel_(std::move(channel)) {}
  ChannelStream(const ChannelStream&) = delete;
  ChannelStream& operator=(const ChannelStream&) = delete;
  ~ChannelStream() override { channel_->close(); }
  Result<std::vector<ReplyPiece>> read(std::chrono::milliseconds timeout) override { return channel_->read(timeout); }
  void abort() override { channel_->abort(); }
  [[nodiscard]] bool has_ended() const override { return channel_->has_ended(); }
  [[nodiscard]] int reused_tokens() const override { return channel_->reused_tokens(); }
  [[nodiscard]] const Reply& result() const override { return channel_->result(); }

 private:
  const std::shared_ptr<ReplyChannel> channel_;
};

// The core, behind a mutex that the thread holds while it plays a step, and never while somebody waits for his turn.
class ThreadedEngine final : public Engine {
 public:
  ThreadedEngine(LanguageModel model, const EngineOptions& options)
      : core_(std::move(model), options, signals_), thread_([this] { play(); }) {}
  ThreadedEngine(const ThreadedEngine&) = delete;
  ThreadedEngine& operator=(const ThreadedEngine&) = delete;
  ~ThreadedEngine() override {
    {
      const Turn turn(*this);
      is_stopping_ = true;
    }
    signals_->wake();
    thread_.join();
  }

  [[nodiscard]] const LanguageModel& model() const override { return core_.model(); }
  Result<ContextId> create_context(int adapter) override { return Turn(*this)->create_context(adapter); }
  Result<ContextId> fork_context(ContextId context) override { return Turn(*this)->fork_context(context); }
  Result<void> clear_context(ContextId context) override { return Turn(*this)->clear_context(context); }
  Result<void> set_adapter(ContextId context, int adapter) override {
    return Turn(*this)->set_adapter(context, adapter);
  }
  void destroy_context(ContextId context) override { Turn(*this)->destroy_context(context); }
  [[nodiscard]] Result<ContextState> context_state(ContextId context) const override {
    return Turn(*this)->context_state(context);
  }
  Result<void> save_context(ContextId context, const std::string& path, std::string_view host_state) override {
    return Turn(*this)->save_context(context, path, host_state);
  }
  Result<LoadedContext> load_context(const std::string& path) override { return Turn(*this)->load_context(path); }
  Result<std::unique_ptr<ReplyStream>> submit(GenerationRequest request) override {
    TRY_ASSIGN(std::vector<std::unique_ptr<ReplyStream>> streams, submit_samples(std::move(request), 1));
    return std::move(streams.front());
  }
  Result<std::vector<std::unique_ptr<ReplyStream>>> submit_samples(GenerationRequest request, int samples) override;
  Result<ReadingTicket> submit_reading(ReadingRequest request) override {
    TRY_ASSIGN(std::shared_ptr<ReplyChannel> channel, Turn(*this)->submit_reading(std::move(request)));
    signals_->wake();
    return ReadingTicket(std::move(channel));
  }
  bool drain(std::chrono::milliseconds timeout) override;
  [[nodiscard]] EngineState state() const override { return Turn(*this)->state(); }

 private:
  // The calling thread's turn with the core.
  class Turn {
   public:
    explicit Turn(const ThreadedEngine& engine) : engine_(engine) {
      engine_.callers_++;
      lock_ = std::unique_lock(engine_.mutex_);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      engine_.callers_--;
      lock_.unlock();
      engine_.turn_over_.notify_one();
    }
    EngineCore* operator->() { return &engine_.core_; }

   private:
    const ThreadedEngine& engine_;
    std::unique_lock<std::mutex> lock_;
  };
  void play();

  const std::shared_ptr<EngineSignals> signals_ = std::make_shared<EngineSignals>();
  mutable std::atomic<int> callers_{0};  // who wait for a turn, or have it
  mutable std::mutex mutex_;             // of what follows
  mutable std::condition_variable turn_over_;
  mutable EngineCore core_;
  bool is_stopping_ = false;
  std::thread thread_;  // the last member: it starts when all others are there
};

void ThreadedEngine::play() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    turn_over_.wait(lock, [this] { return callers_ == 0; });
    if (is_stopping_ || core_.step()) continue;
    signals_->note_idle(core_.is_idle());
    lock.unlock();
    signals_->sleep();
    lock.lock();
  }
  core_.abort_all();
}

Result<std::vector<std::unique_ptr<ReplyStream>>> ThreadedEngine::submit_samples(GenerationRequest request,
                                                                                 int samples) {
  std::vector<std::unique_ptr<ReplyStream>> streams;
  TRY_ASSIGN(const auto channels, Turn(*this)->submit(request, samples));
  streams.reserve(channels.size());
  for (const std::shared_ptr<ReplyChannel>& channel : channels) {
    streams.push_back(std::make_unique<ChannelStream>(channel));
  }
  signals_->wake();
  return streams;
}

bool ThreadedEngine::drain(std::chrono::milliseconds timeout) {
  Turn(*this)->refuse_requests();
  return signals_->wait_until_idle(timeout);
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(LanguageModel model, const EngineOptions& options) {
  if (options.queued_requests < 0 || options.running_requests < 0 || options.prefill_chunk < 0 ||
      options.unread_pieces < 1) {
    return invalid(
        "engine options: got {} queued requests, {} running, chunks of {}, {} unread pieces; want at least "
        "0, 0, 0, 1",
        options.queued_requests, options.running_requests, options.prefill_chunk, options.unread_pieces);
  }
  return std::unique_ptr<Engine>(std::make_unique<ThreadedEngine>(std::move(model), options));
}

}  // namespace hotaru
