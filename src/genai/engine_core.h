// Everything an Engine does (engine.h has the contracts), on the caller's thread: named contexts, the queue of
// requests, replies from their beginning to their end. The same calls give the same steps.
//
// Not thread-safe, but for the channels it hands out: readers may have their own threads.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "genai/cut_reply.h"
#include "genai/engine.h"
#include "genai/generation.h"
#include "genai/prefix_store.h"
#include "genai/reply_channel.h"
#include "genai/scheduler.h"
#include "genai/text_reader.h"

namespace hotaru {

class EngineCore {
 public:
  EngineCore(LanguageModel model, const EngineOptions& options, std::shared_ptr<EngineSignals> signals);
  EngineCore(const EngineCore&) = delete;
  EngineCore& operator=(const EngineCore&) = delete;
  [[nodiscard]] const LanguageModel& model() const { return model_; }

  Result<ContextId> create_context(int adapter);
  Result<ContextId> fork_context(ContextId context);
  Result<void> clear_context(ContextId context);
  Result<void> set_adapter(ContextId context, int adapter);
  void destroy_context(ContextId context);
  [[nodiscard]] Result<ContextState> context_state(ContextId context);

  Result<void> save_context(ContextId context, const std::string& path, std::string_view host_state);
  Result<Engine::LoadedContext> load_context(const std::string& path);

  // One channel for each of the samples; all or none are taken.
  Result<std::vector<std::shared_ptr<ReplyChannel>>> submit(const GenerationRequest& request, int samples);
  // The channel is there to abort the reading.
  Result<std::shared_ptr<ReplyChannel>> submit_reading(ReadingRequest request);
  void refuse_requests() { is_draining_ = true; }
  // Begins waiting replies, plays one step, ends replies. False: there is nothing to go on with until a request comes,
  // a reader catches up or a reply is aborted.
  bool step();
  void abort_all();
  [[nodiscard]] bool is_idle() const { return queue_.empty() && running_.empty(); }
  [[nodiscard]] EngineState state() const;
  [[nodiscard]] const Scheduler& scheduler() const { return scheduler_; }

 private:
  struct Writer;
  struct NamedContext {
    Context context;
    std::optional<CutReply> cut;
    Writer* writer = nullptr;  // the reply, running or queued, that has the context
    uint64_t last_use = 0;     // grows with every use
  };
  // A reply, queued (no generation yet) or running.
  struct Writer {
    GenerationRequest request;
    std::shared_ptr<ReplyChannel> channel;
    NamedContext* named = nullptr;
    std::optional<Context> own;    // the context of a reply that has no named one
    bool has_stored_form = false;  // request.ids are without the HEF's prefix tokens
    std::vector<int32_t> prompt;   // all of the context's ids at the start, while there are siblings
    std::optional<ReplyText> text;
    std::optional<TextReader> reader;  // it is a reading, no reply
    std::optional<Generation> generation;
    std::vector<std::unique_ptr<Writer>> siblings;  // other samples: they begin when the prompt is stored
    [[nodiscard]] Context& context() { return named != nullptr ? named->context : *own; }
  };

  Result<NamedContext*> find(ContextId context);
  Result<NamedContext*> find_free(ContextId context);
  ContextId name(Context context, std::optional<CutReply> cut);
  [[nodiscard]] Result<void> check_adapter(int adapter) const;
  Result<Context> new_context(int adapter);
  // Each gives back what nobody computes with just now; false: there is nothing.
  bool evict_kept() { return kept_ && kept_->evict_one(); }
  bool take_from_idle();
  bool free_a_place() { return evict_kept() || take_from_idle() || scheduler_.take_from_paused(); }

  [[nodiscard]] Result<void> check(const GenerationRequest& request, int samples);
  [[nodiscard]] Result<void> check_places(int wanted) const;
  [[nodiscard]] size_t queued_replies() const;
  [[nodiscard]] size_t active_replies() const;

  bool begin_waiting();
  Result<bool> begin(Writer& writer);
  [[nodiscard]] std::vector<int32_t> prompt_of(const Writer& writer) const;
  void reuse_pages(Context& context);
  Result<void> begin_reply(Writer& writer);
  bool begin_siblings();
  bool begin_sibling(Writer& first);
  void queue_siblings(Writer& first, const std::vector<int32_t>& prompt);
  bool retire_ended();
  void retire(std::unique_ptr<Writer> writer);
  void retire_aborted(Writer& writer);
  void end_queued(std::unique_ptr<Writer> writer, std::optional<Error> error);
  [[nodiscard]] static CutReply cut_reply(const Writer& writer);
  static void tell_end(Writer& writer, Reply&& reply, std::optional<Error> error);

  LanguageModel model_;
  EngineOptions options_;
  std::shared_ptr<EngineSignals> signals_;
  std::optional<PrefixStore> kept_;  // of replies without a named context; none: prefixes are not reused
  Scheduler scheduler_;
  std::map<ContextId, NamedContext> contexts_;  // a map: writers point into it
  uint64_t last_name_ = 0, last_use_ = 0;
  std::deque<std::unique_ptr<Writer>> queue_;
  std::vector<std::unique_ptr<Writer>> running_;
  EngineState counts_;
  bool is_draining_ = false;
};

}  // namespace hotaru
