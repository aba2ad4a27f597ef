// A test of everything above the device: random operations on one engine (contexts made, forked, cleared, destroyed;
// replies begun, read lazily, aborted, resumed; texts read; adapters switched; contexts saved and loaded), in random
// order, and for every reply the check that its tokens and the context afterwards are those of the same request alone:
// in a fresh context of another device, which never shares, batches or forks.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "genai/engine_core.h"
#include "genai/generator.h"
#include "genai/random_readings.h"
#include "tensor/random.h"

namespace hotaru {

struct ScheduleOptions {
  uint64_t seed = 1;
  int longest_prompt = 190;
  int longest_reply = 30;
  // Others may take the pages that a reply needs; then it may end early, but with the right tokens.
  bool pages_are_scarce = false;
  std::string folder = {};  // for saved contexts; empty: none are
};

class RandomSchedule {
 public:
  RandomSchedule(std::unique_ptr<Device> device, Device& alone, const EngineOptions& engine, ScheduleOptions options)
      : alone_(&alone),
        options_(std::move(options)),
        engine_options_(engine),
        random_(options_.seed),
        core_(model_of(std::move(device)), engine, std::make_shared<EngineSignals>()),
        readings_(alone, options_.seed, options_.pages_are_scarce) {}

  // Plays `operations`, then lets every reply end.
  void play(int operations) {
    for (int i = 0; i < operations && !testing::Test::HasFailure(); i++) operate();
    for (int i = 0; i < 1000000 && !(replies_.empty() && readings_.empty()) && !testing::Test::HasFailure(); i++) {
      core_.step();
      read_some(1);
      readings_.check_ended();
    }
    EXPECT_TRUE(readings_.empty() || testing::Test::HasFailure()) << "a reading never ended";
    EXPECT_TRUE(replies_.empty() || testing::Test::HasFailure()) << "a reply never ended";
    while (!contexts_.empty()) destroy();
  }

  [[nodiscard]] int readings() const { return readings_.checked(); }
  // How often each thing happened: a schedule that never shifts proves nothing about shifts.
  [[nodiscard]] int count(const std::string& what) const {
    const auto found = counts_.find(what);
    return found == counts_.end() ? 0 : found->second;
  }
  [[nodiscard]] EngineCore& core() { return core_; }

 private:
  // What a reply began with: it follows from this alone.
  struct Beginning {
    std::vector<int32_t> prompt;
    int adapter = kNoAdapter;
    GenerationOptions options;
    int earlier_tokens = 0;  // of the reply, before it was cut
    bool was_cut = false;    // its earlier part, even one without a token, may have shifted already
  };
  struct ModelContext {
    ContextId id{};
    std::vector<int32_t> ids;
    int adapter = kNoAdapter;
    std::optional<Beginning> cut;
    bool is_busy = false;
  };
  struct ModelReply {
    std::shared_ptr<ReplyChannel> channel;
    Beginning beginning;
    ModelContext* context = nullptr;
    std::vector<int32_t> read_ids;
    bool is_aborted = false;
  };

  static LanguageModel model_of(std::unique_ptr<Device> device) {
    LanguageModel::Parts parts;
    parts.name = "schedule";
    parts.device = std::move(device);
    return *LanguageModel::from_parts(std::move(parts));
  }
  int below(int bound) { return static_cast<int>(random_.next_below(static_cast<uint32_t>(bound))); }
  [[nodiscard]] int vocabulary() const { return alone_->info().vocabulary; }
  int any_adapter() { return below(static_cast<int>(alone_->info().adapters.size()) + 1) - 1; }
  std::vector<int32_t> any_ids(int least, int most) {
    std::vector<int32_t> ids(static_cast<size_t>(least + below(most - least + 1)));
    for (int32_t& id : ids) id = below(vocabulary());
    return ids;
  }
  ModelContext* any_free() {
    if (contexts_.empty()) return nullptr;
    ModelContext* context = contexts_[static_cast<size_t>(below(static_cast<int>(contexts_.size())))].get();
    return context->is_busy ? nullptr : context;
  }

  void operate() {
    const int dice = below(100);
    if (dice < 60) {
      counts_["step"] += core_.step() ? 1 : 0;
    } else if (dice < 71) {
      read_some(3);
    } else if (dice < 80) {
      write_in_context();
    } else if (dice < 83) {
      write_alone();
    } else if (dice < 86) {
      abort_one();
    } else if (dice < 88 && contexts_.size() < 8) {
      create();
    } else if (dice < 90) {
      fork();
    } else if (dice < 92) {
      switch_adapter();
    } else if (dice < 93) {
      clear();
    } else if (dice < 94) {
      destroy();
    } else if (dice < 95) {
      readings_.submit(core_, last_prompt_, any_ids(1, 30));
    } else {
      save_and_load();
    }
  }

  void add_context(ContextId id, std::vector<int32_t> ids, int adapter, std::optional<Beginning> cut) {
    contexts_.push_back(
        std::make_unique<ModelContext>(ModelContext{id, std::move(ids), adapter, std::move(cut), false}));
  }
  void create() {
    const int adapter = any_adapter();
    const Result<ContextId> id = core_.create_context(adapter);
    ASSERT_TRUE(id) << id.error().message;
    add_context(*id, {}, adapter, std::nullopt);
    counts_["create"]++;
  }
  void fork() {
    ModelContext* context = any_free();
    if (context == nullptr || contexts_.size() >= 8) return;
    const Result<ContextId> id = core_.fork_context(context->id);
    ASSERT_TRUE(id) << id.error().message;
    add_context(*id, context->ids, context->adapter, context->cut);
    counts_["fork"]++;
  }
  void switch_adapter() {
    ModelContext* context = any_free();
    if (context == nullptr) return;
    const int adapter = any_adapter();
    ASSERT_TRUE(core_.set_adapter(context->id, adapter));
    if (adapter != context->adapter) context->cut.reset();
    context->adapter = adapter;
    counts_["switch"]++;
  }
  void clear() {
    ModelContext* context = any_free();
    if (context == nullptr) return;
    ASSERT_TRUE(core_.clear_context(context->id));
    context->ids.clear();
    context->cut.reset();
    counts_["clear"]++;
  }
  void destroy() {
    if (contexts_.empty()) return;
    const size_t index = static_cast<size_t>(below(static_cast<int>(contexts_.size())));
    ModelContext* context = contexts_[index].get();
    core_.destroy_context(context->id);
    EXPECT_FALSE(core_.context_state(context->id));
    for (ModelReply& reply : replies_) {
      if (reply.context != context) continue;
      reply.context = nullptr;  // the reply was aborted
      reply.is_aborted = true;
    }
    contexts_.erase(contexts_.begin() + static_cast<ptrdiff_t>(index));
    counts_["destroy"]++;
  }
  void save_and_load() {
    ModelContext* context = any_free();
    if (context == nullptr || options_.folder.empty() || contexts_.size() >= 8) return;
    const std::string path = options_.folder + "/context";
    const Result<void> saved = core_.save_context(context->id, path, "host state");
    ASSERT_TRUE(saved) << saved.error().message;
    const Result<Engine::LoadedContext> loaded = core_.load_context(path);
    if (!loaded && options_.pages_are_scarce) {
      EXPECT_EQ(loaded.error().kind, ErrorKind::kNoMemory) << loaded.error().message;
      return;
    }
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->host_state, "host state");
    add_context(loaded->context, context->ids, context->adapter, context->cut);
    counts_["load"]++;
  }

  GenerationOptions any_options() {
    GenerationOptions options;
    options.sampling.temperature = below(4) == 0 ? 0.0F : 1.0F;
    options.sampling.seed = random_.next_u64();
    if (below(2) == 0) options.sampling.top_k = 1 + below(20);
    if (below(3) == 0) options.sampling.repetition_penalty = 1.3F;
    if (below(3) == 0) options.sampling.frequency_penalty = 0.5F;
    if (below(3) == 0) options.sampling.presence_penalty = 0.25F;
    if (below(4) == 0) options.sampling.logit_bias = {{below(vocabulary()), 2.0F}};
    options.max_tokens = below(8) == 0 ? -1 : below(options_.longest_reply + 1);
    options.stop_ids = {below(vocabulary())};
    if (below(2) == 0) options.recovery_ids = any_ids(1, 2);
    constexpr WhenFull kPolicies[] = {WhenFull::kError, WhenFull::kStop, WhenFull::kShift};
    options.when_full = kPolicies[below(options_.pages_are_scarce ? 2 : 3)];
    options.keep_tokens = below(20) - 1;
    // A reply that always shifts would never end by itself.
    if (options.when_full == WhenFull::kShift && options.max_tokens < 0)
      options.max_tokens = 3 * options_.longest_reply;
    options.prefill_chunk = below(3) == 0 ? 1 + below(40) : 0;
    options.hash_logits = true;
    return options;
  }

  void submit(const GenerationRequest& request, int samples, const Beginning& beginning, ModelContext* context) {
    const auto channels = core_.submit(request, samples);
    if (!channels) {
      EXPECT_EQ(channels.error().kind, ErrorKind::kBusy) << channels.error().message;
      counts_["busy"]++;
      return;
    }
    for (int i = 0; i < samples; i++) {
      ModelReply reply{(*channels)[static_cast<size_t>(i)], beginning, i == 0 ? context : nullptr, {}, false};
      reply.beginning.options.sampling.seed += static_cast<uint64_t>(i);
      replies_.push_back(std::move(reply));
    }
    if (context != nullptr) {
      context->is_busy = true;
      EXPECT_FALSE(core_.clear_context(context->id));
      EXPECT_FALSE(core_.submit(request, 1));
    }
    counts_["reply"] += samples;
    if (samples > 1) counts_["samples"]++;
  }
  void write_in_context() {
    ModelContext* context = any_free();
    if (context == nullptr) return;
    GenerationRequest request;
    request.context = context->id;
    request.options = any_options();
    Beginning beginning{context->ids, context->adapter, request.options};
    if (context->cut && below(2) == 0) {
      request.resumes = true;
      if (request.options.max_tokens == 0) request.options.max_tokens = 1;
      beginning = *context->cut;
      beginning.options.max_tokens = request.options.max_tokens;
      beginning.options.prefill_chunk = request.options.prefill_chunk;
      request.options.when_full = beginning.options.when_full;
      request.options.keep_tokens = beginning.options.keep_tokens;
      submit(request, 1, beginning, context);
      counts_["resume"]++;
      return;
    }
    request.ids = any_ids(context->ids.empty() ? 1 : 0, below(3) == 0 ? options_.longest_prompt : 12);
    request.replaces = below(4) == 0 && !request.ids.empty();
    if (request.replaces) {  // most often something like the old one
      std::vector<int32_t> old = context->ids;
      if (!old.empty()) old.resize(static_cast<size_t>(below(static_cast<int>(old.size()) + 1)));
      request.ids.insert(request.ids.begin(), old.begin(), old.end());
      beginning.prompt.clear();
    }
    beginning.prompt.insert(beginning.prompt.end(), request.ids.begin(), request.ids.end());
    submit(request, below(6) == 0 ? 3 : 1, beginning, context);
  }
  void write_alone() {
    GenerationRequest request;
    request.adapter = any_adapter();
    request.options = any_options();
    request.ids = last_prompt_;
    request.ids.resize(static_cast<size_t>(below(static_cast<int>(last_prompt_.size()) + 1)));
    const std::vector<int32_t> more = any_ids(1, 30);
    request.ids.insert(request.ids.end(), more.begin(), more.end());
    last_prompt_ = request.ids;
    if (std::cmp_greater(last_prompt_.size(), options_.longest_prompt)) last_prompt_.clear();
    submit(request, below(4) == 0 ? 1 + below(3) : 1, {request.ids, request.adapter, request.options}, nullptr);
  }
  void abort_one() {
    if (replies_.empty()) return;
    ModelReply& reply = replies_[static_cast<size_t>(below(static_cast<int>(replies_.size())))];
    reply.channel->abort();
    reply.is_aborted = true;
    counts_["abort"]++;
  }

  // Each reply is read with a chance of 1 / `rarity`.
  void read_some(int rarity) {
    for (size_t i = 0; i < replies_.size();) {
      ModelReply& reply = replies_[i];
      bool has_ended = false;
      if (below(rarity) == 0) {
        const Result<std::vector<ReplyPiece>> pieces = reply.channel->read(std::chrono::milliseconds(0));
        if (pieces) {
          EXPECT_LE(pieces->size(), static_cast<size_t>(engine_options_.unread_pieces));
          for (const ReplyPiece& piece : *pieces) reply.read_ids.push_back(piece.id);
          has_ended = pieces->empty();
        } else {
          has_ended = pieces.error().kind != ErrorKind::kTimeout;
          if (has_ended) {
            EXPECT_EQ(pieces.error().kind, ErrorKind::kNoMemory) << pieces.error().message;
          }
        }
        if (has_ended) check(reply, !pieces.ok());
      }
      if (has_ended) {
        replies_.erase(replies_.begin() + static_cast<ptrdiff_t>(i));
      } else {
        i++;
      }
    }
  }

  // The reply against the same request alone.
  void check(ModelReply& reply, bool has_failed) {
    const Reply& got = reply.channel->result();
    EXPECT_EQ(reply.read_ids, got.token_ids);
    const bool is_aborted = got.status == ReplyStatus::kAborted;
    if (is_aborted) {
      EXPECT_TRUE(reply.is_aborted);
    }
    const int earlier = reply.beginning.earlier_tokens;
    const int all_tokens = earlier + static_cast<int>(got.token_ids.size());
    GenerationOptions options = reply.beginning.options;
    if (options.max_tokens == 0) options.recovery_ids.clear();  // there is no reply that could be closed
    if (options.max_tokens > 0) options.max_tokens += earlier;
    const bool may_be_short =
        is_aborted || (options_.pages_are_scarce && (has_failed || got.status == ReplyStatus::kContextFull));
    if (may_be_short) options.max_tokens = all_tokens;

    Context context = *Context::create(*alone_, reply.beginning.adapter);
    context.append(reply.beginning.prompt);
    std::vector<int32_t> wanted;
    bool wants_failure = false;
    Reply alone;
    if (may_be_short && all_tokens == 0) {
      if (is_aborted) context.append(options.recovery_ids);
    } else {
      if (may_be_short && !is_aborted) options.recovery_ids.clear();
      Generation generation = *Generation::begin(context, options, {});
      Scheduler scheduler(*alone_, {});
      scheduler.add(generation);
      while (!generation.has_ended()) scheduler.step();
      wants_failure = generation.error().has_value();
      alone = generation.reply();
      wanted = alone.token_ids;
      wanted.erase(wanted.begin(), wanted.begin() + std::min<ptrdiff_t>(earlier, std::ssize(wanted)));
    }
    ASSERT_EQ(got.token_ids, wanted) << describe(reply, got);
    if (!may_be_short) {
      EXPECT_EQ(has_failed, wants_failure) << describe(reply, got);
      EXPECT_EQ(got.status, alone.status) << describe(reply, got);
      if (!reply.beginning.was_cut) {
        EXPECT_EQ(got.shifts, alone.shifts) << describe(reply, got);
      }
    }
    if (earlier == 0 && !wanted.empty()) {
      EXPECT_EQ(got.logits_sha256, alone.logits_sha256);
    }
    counts_["shift"] += got.shifts;
    counts_["full"] += got.status == ReplyStatus::kContextFull ? 1 : 0;
    counts_["token"] += static_cast<int>(got.token_ids.size());
    if (reply.context != nullptr) check_context(reply, got, context.ids());
  }

  void check_context(ModelReply& reply, const Reply& got, std::vector<int32_t> wanted) {
    ModelContext& context = *reply.context;
    const Result<ContextState> state = core_.context_state(context.id);
    ASSERT_TRUE(state);
    EXPECT_FALSE(state->is_busy);
    EXPECT_EQ(state->adapter, context.adapter);
    if (got.status == ReplyStatus::kAborted && got.prefilled_tokens == 0) {  // it never began
      EXPECT_EQ(state->ids, context.ids) << describe(reply, got);
      context.is_busy = false;
      if (!state->has_cut_reply) context.cut.reset();
      counts_["never began"]++;
      return;
    }
    if (state->ids != wanted && got.status == ReplyStatus::kAborted) wanted = shifted(reply.beginning.options, wanted);
    ASSERT_EQ(state->ids, wanted) << describe(reply, got);
    context.ids = state->ids;
    context.is_busy = false;
    context.cut.reset();
    if (got.status != ReplyStatus::kLogicalEnd && reply.beginning.options.max_tokens != 0) {
      context.cut = reply.beginning;
      context.cut->was_cut = true;
      context.cut->earlier_tokens += static_cast<int>(got.token_ids.size());
    }
    EXPECT_EQ(state->has_cut_reply, context.cut.has_value());
  }

  // An abort may come when the full context has been shifted for a token that does not come any more.
  [[nodiscard]] std::vector<int32_t> shifted(const GenerationOptions& options, std::vector<int32_t> ids) const {
    const auto capacity = static_cast<size_t>(alone_->info().context_tokens);
    const std::vector<int32_t> recovery = options.max_tokens == 0 ? std::vector<int32_t>() : options.recovery_ids;
    ids.resize(ids.size() - recovery.size());
    const size_t keep = options.keep_tokens >= 0 ? static_cast<size_t>(options.keep_tokens) : capacity / 4;
    while (options.when_full == WhenFull::kShift && ids.size() > capacity) {
      const auto first = ids.begin() + static_cast<ptrdiff_t>(keep);
      ids.erase(first, first + static_cast<ptrdiff_t>((ids.size() - keep) / 2));
    }
    ids.insert(ids.end(), recovery.begin(), recovery.end());
    return ids;
  }

  static std::string describe(const ModelReply& reply, const Reply& got) {
    return fmt::format("prompt of {}, adapter {}, earlier {}, max {}, when full {}, {}, {} tokens, {} shifts",
                       reply.beginning.prompt.size(), reply.beginning.adapter, reply.beginning.earlier_tokens,
                       reply.beginning.options.max_tokens, static_cast<int>(reply.beginning.options.when_full),
                       reply_status_name(got.status), got.token_ids.size(), got.shifts);
  }

  Device* alone_;
  ScheduleOptions options_;
  EngineOptions engine_options_;
  Random random_;
  EngineCore core_;
  std::vector<std::unique_ptr<ModelContext>> contexts_;
  std::vector<ModelReply> replies_;
  RandomReadings readings_;
  std::vector<int32_t> last_prompt_;
  std::map<std::string, int> counts_;
};

}  // namespace hotaru
