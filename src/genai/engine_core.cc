#include "genai/engine_core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "genai/grammar_mask.h"
#include "genai/saved_context.h"

namespace hotaru {
namespace {

template <typename List>
typename List::value_type take(List& list, ptrdiff_t index) {
  typename List::value_type taken = std::move(list[static_cast<size_t>(index)]);
  list.erase(list.begin() + index);
  return taken;
}

EngineOptions with_defaults(EngineOptions options, const DeviceInfo& info) {
  if (options.running_requests <= 0) options.running_requests = info.decode_rows;
  return options;
}

Error busy_context(ContextId context) {
  return make_error(ErrorKind::kBusy, "context {}: a reply is being written", static_cast<uint64_t>(context));
}

}  // namespace

EngineCore::EngineCore(LanguageModel model, const EngineOptions& options, std::shared_ptr<EngineSignals> signals)
    : model_(std::move(model)),
      options_(with_defaults(options, model_.device().info())),
      signals_(std::move(signals)),
      scheduler_(model_.device(), {.decoding = options_.running_requests,
                                   .prefill_chunk = options_.prefill_chunk,
                                   .free_some_pages = [this] { return evict_kept() || take_from_idle(); }}) {
  const DeviceInfo& info = model_.device().info();
  const uint64_t pages = options_.reuse_bytes > 0 ? options_.reuse_bytes / info.page_bytes : UINT64_MAX;
  if (options_.reuses_prefixes) {
    kept_.emplace(model_.device(), static_cast<int>(std::min(pages, static_cast<uint64_t>(info.pages))));
  }
}

// --- named contexts

Result<EngineCore::NamedContext*> EngineCore::find(ContextId context) {
  const auto found = contexts_.find(context);
  if (found != contexts_.end()) return &found->second;
  return make_error(ErrorKind::kNotFound, "there is no context {}", static_cast<uint64_t>(context));
}

Result<EngineCore::NamedContext*> EngineCore::find_free(ContextId context) {
  TRY_ASSIGN(NamedContext * named, find(context));
  if (named->writer != nullptr) retire_aborted(*named->writer);
  if (named->writer != nullptr) return busy_context(context);
  named->last_use = ++last_use_;
  return named;
}

ContextId EngineCore::name(Context context, std::optional<CutReply> cut) {
  const ContextId id{++last_name_};
  contexts_.emplace(id, NamedContext{std::move(context), std::move(cut), nullptr, ++last_use_});
  return id;
}

Result<ContextId> EngineCore::create_context(int adapter) {
  TRY(check_adapter(adapter));
  TRY_ASSIGN(Context context, new_context(adapter));
  return name(std::move(context), std::nullopt);
}

Result<ContextId> EngineCore::fork_context(ContextId context) {
  TRY_ASSIGN(NamedContext * named, find_free(context));
  Result<Context> twin = named->context.fork();
  while (!twin && free_a_place()) twin = named->context.fork();
  if (!twin) return std::move(twin).error();
  return name(*std::move(twin), named->cut);
}

Result<void> EngineCore::clear_context(ContextId context) {
  TRY_ASSIGN(NamedContext * named, find_free(context));
  named->context.clear();
  named->cut.reset();
  return {};
}

Result<void> EngineCore::set_adapter(ContextId context, int adapter) {
  TRY(check_adapter(adapter));
  TRY_ASSIGN(NamedContext * named, find_free(context));
  if (adapter != named->context.adapter()) named->cut.reset();
  named->context.set_adapter(adapter);
  return {};
}

void EngineCore::destroy_context(ContextId context) {
  const auto found = contexts_.find(context);
  if (found == contexts_.end()) return;
  if (Writer* writer = found->second.writer; writer != nullptr) {
    writer->channel->abort();
    retire_aborted(*writer);
  }
  contexts_.erase(found);
}

Result<ContextState> EngineCore::context_state(ContextId context) {
  TRY_ASSIGN(NamedContext * named, find(context));
  if (named->writer != nullptr) retire_aborted(*named->writer);
  const Context& held = named->context;
  return ContextState{held.ids(),     held.stored_tokens(),   held.capacity_tokens(),
                      held.adapter(), named->cut.has_value(), named->writer != nullptr};
}

Result<void> EngineCore::check_adapter(int adapter) const {
  const auto count = static_cast<int>(model_.device().info().adapters.size());
  if (adapter >= kNoAdapter && adapter < count) return {};
  return invalid("adapter: got {}, want {} (none) to {}", adapter, kNoAdapter, count - 1);
}

// The context that has been idle longest leaves the device: what it has stored is computed again when it goes on.
bool EngineCore::take_from_idle() {
  NamedContext* oldest = nullptr;
  for (auto& [id, named] : contexts_) {
    if (named.writer != nullptr || !named.context.has_place()) continue;
    if (oldest == nullptr || named.last_use < oldest->last_use) oldest = &named;
  }
  if (oldest != nullptr) oldest->context.leave_device();
  return oldest != nullptr;
}

// The device has few places for contexts; those of kept prefixes are given away first, then those of contexts in which
// nothing is written, then those of paused replies.
Result<Context> EngineCore::new_context(int adapter) {
  Result<Context> context = Context::create(model_.device(), adapter);
  while (!context && free_a_place()) context = Context::create(model_.device(), adapter);
  return context;
}

Result<void> EngineCore::save_context(ContextId context, const std::string& path, std::string_view host_state) {
  TRY_ASSIGN(const NamedContext* named, find_free(context));
  return hotaru::save_context(named->context, named->cut, {model_.name(), host_state}, path);
}

Result<Engine::LoadedContext> EngineCore::load_context(const std::string& path) {
  Result<RestoredContext> restored = hotaru::load_context(model_.device(), model_.name(), path);
  while (!restored && restored.error().kind == ErrorKind::kNoMemory && free_a_place()) {
    restored = hotaru::load_context(model_.device(), model_.name(), path);
  }
  if (!restored) return std::move(restored).error();
  const ContextId context = name(std::move(restored->context), std::move(restored->cut));
  return Engine::LoadedContext{context, std::move(restored->host_state)};
}

// --- requests

Result<void> EngineCore::check(const GenerationRequest& request, int samples) {
  if (samples < 1) return invalid("samples: got {}, want at least 1", samples);
  const DeviceInfo& info = model_.device().info();
  TRY(check_sampling_params(request.options.sampling, info.vocabulary));
  TRY(check_adapter(request.adapter));
  TRY(model_.check_ids(request.ids));
  TRY(model_.check_ids(request.options.recovery_ids));
  const NamedContext* named = nullptr;
  if (request.context) {
    TRY_ASSIGN(named, find_free(*request.context));
  }
  if (request.resumes) {
    if (named == nullptr || !named->cut) {
      return make_error(ErrorKind::kNotFound, "there is no cut reply that could be resumed");
    }
    if (!request.ids.empty()) return invalid("a reply that is resumed takes no prompt: got {} ids", request.ids.size());
    if (samples > 1) return invalid("a reply that is resumed has one sample: got {}", samples);
  }
  const bool goes_on = named != nullptr && !request.replaces && !named->context.ids().empty();
  if (request.ids.empty() && !goes_on) return invalid("the prompt has no tokens, want at least one");
  return check_places(samples);
}

Result<void> EngineCore::check_places(int wanted) const {
  if (is_draining_) return make_error(ErrorKind::kBusy, "the engine takes no more requests");
  const auto running_places = static_cast<size_t>(options_.running_requests);
  const size_t free_places = running_places - std::min(active_replies(), running_places);
  const size_t places = static_cast<size_t>(options_.queued_requests) + free_places;
  if (queued_replies() + static_cast<size_t>(wanted) > places) {
    return make_error(ErrorKind::kBusy, "the queue is full: {} requests are waiting, {} more came", queued_replies(),
                      wanted);
  }
  return {};
}

size_t EngineCore::queued_replies() const {
  size_t count = 0;
  const auto add = [&](const std::unique_ptr<Writer>& writer) { count += writer->siblings.size(); };
  std::for_each(queue_.begin(), queue_.end(), add);
  std::for_each(running_.begin(), running_.end(), add);
  return count + queue_.size();
}

// A paused reply leaves its place to others.
size_t EngineCore::active_replies() const {
  return static_cast<size_t>(std::count_if(running_.begin(), running_.end(), [](const std::unique_ptr<Writer>& writer) {
    return !writer->generation->is_paused();
  }));
}

Result<std::vector<std::shared_ptr<ReplyChannel>>> EngineCore::submit(const GenerationRequest& request, int samples) {
  TRY(check(request, samples));
  std::vector<std::shared_ptr<ReplyChannel>> channels;
  std::unique_ptr<Writer> first;
  for (int i = 0; i < samples; i++) {
    auto writer = std::make_unique<Writer>();
    writer->request = request;
    writer->request.options.sampling.seed += static_cast<uint64_t>(i);
    writer->channel =
        std::make_shared<ReplyChannel>(signals_, static_cast<size_t>(options_.unread_pieces), request.on_ready);
    writer->request.options.abort = writer->channel->abort_flag();
    channels.push_back(writer->channel);
    if (first) {
      first->siblings.push_back(std::move(writer));
    } else {
      first = std::move(writer);
    }
  }
  if (request.context) {
    first->named = &contexts_.at(*request.context);
    first->named->writer = first.get();
  }
  queue_.push_back(std::move(first));
  signals_->note_idle(false);
  return channels;
}

// --- replies

bool EngineCore::step() {
  for (const std::unique_ptr<Writer>& writer : running_) writer->generation->set_paused(writer->channel->is_full());
  const bool has_begun = begin_waiting();
  const bool has_stepped = scheduler_.step();
  if (has_stepped) signals_->note_step();
  const bool has_forked = begin_siblings();
  const bool has_ended = retire_ended();
  for (const std::unique_ptr<Writer>& writer : running_) writer->channel->announce();
  return has_begun || has_stepped || has_forked || has_ended;
}

// Requests begin in order.
bool EngineCore::begin_waiting() {
  bool has_changed = false;
  for (size_t i = 0; i < queue_.size(); i++) {
    if (!queue_[i]->channel->is_abort_wanted()) continue;
    std::unique_ptr<Writer> writer = take(queue_, static_cast<ptrdiff_t>(i--));
    end_queued(std::move(writer), std::nullopt);
    has_changed = true;
  }
  while (!queue_.empty() && active_replies() < static_cast<size_t>(options_.running_requests)) {
    Writer& writer = *queue_.front();
    Result<bool> begun = begin(writer);
    if (begun && !*begun) break;
    std::unique_ptr<Writer> taken = take(queue_, 0);
    has_changed = true;
    if (begun) {
      running_.push_back(std::move(taken));
    } else {
      end_queued(std::move(taken), std::move(begun).error());
    }
  }
  return has_changed;
}

// False: the device has no place for one more context until a reply ends.
Result<bool> EngineCore::begin(Writer& writer) {
  if (writer.named == nullptr) {
    Result<Context> context = new_context(writer.request.adapter);
    if (!context && !running_.empty()) return false;
    if (!context) return std::move(context).error();
    writer.own = *std::move(context);
  }
  writer.context().replace(prompt_of(writer));
  if (!writer.siblings.empty()) writer.prompt = writer.context().ids();
  // Scores want logits behind every token.
  const bool may_reuse = !writer.reader || !writer.reader->wants_scores();
  if (kept_ && may_reuse) reuse_pages(writer.context());
  TRY(begin_reply(writer));
  return true;
}

// All ids of the context that the reply will follow.
std::vector<int32_t> EngineCore::prompt_of(const Writer& writer) const {
  const GenerationRequest& request = writer.request;
  std::vector<int32_t> prompt;
  if (writer.named != nullptr && !request.replaces) prompt = writer.named->context.ids();
  if (request.resumes) {
    prompt.resize(prompt.size() - static_cast<size_t>(writer.named->cut->recovery_tokens));
    return prompt;
  }
  std::span<const int32_t> ids = request.ids;
  if (prompt.empty() && !writer.has_stored_form) ids = model_.after_prefix(ids);
  prompt.insert(prompt.end(), ids.begin(), ids.end());
  return prompt;
}

// The context whose beginning is like this one's for more tokens than are stored here lends its pages; a named one only
// whole ones, since it may go on writing the last.
void EngineCore::reuse_pages(Context& context) {
  const Context* best = nullptr;
  int best_tokens = context.stored_tokens();
  for (const auto& [id, named] : contexts_) {
    const int page_tokens = model_.device().info().page_tokens;
    const int tokens = named.context.stored_like(context) / page_tokens * page_tokens;
    if (&named.context == &context || tokens <= best_tokens) continue;
    best = &named.context;
    best_tokens = tokens;
  }
  if (kept_->longest(context.ids(), context.adapter()) > best_tokens) {
    const std::vector<int32_t> ids = context.ids();
    context.clear();
    // Without it the prompt is computed: the same reply, later.
    static_cast<void>(kept_->begin_with(context, ids));
    context.replace(ids);
  } else if (best != nullptr) {
    context.begin_like(*best, best_tokens);
  }
}

Result<void> EngineCore::begin_reply(Writer& writer) {
  GenerationOptions options = writer.request.options;
  NamedContext* const named = writer.named;
  std::vector<int32_t> earlier;
  if (writer.request.resumes) {
    CutReply& cut = *named->cut;
    cut.recovery_tokens = 0;  // the context does not end with them any more
    options.sampling = cut.sampling;
    options.stop_ids = cut.stop_ids;
    options.recovery_ids = cut.recovery_ids;
    writer.request.stop = cut.stop;
    writer.request.continues_text = cut.continues_text;
    if (cut.grammar) TRY(obey_grammar(options, *cut.grammar, model_));
    earlier = cut.generated;
  }
  Generation::Outlets outlets;
  if (writer.reader) {
    outlets.reader = &*writer.reader;
  } else {
    TRY_ASSIGN(writer.text, model_.reply_text(writer.request.stop, writer.request.continues_text, earlier));
  }
  if (writer.text) outlets.text = &*writer.text;
  outlets.top_logprobs = writer.request.top_logprobs;
  outlets.on_piece = [channel = writer.channel.get()](ReplyPiece&& piece) {
    channel->push(std::move(piece));
    return true;
  };
  const int stored_tokens = writer.context().stored_tokens();
  TRY_ASSIGN(writer.generation, Generation::begin(writer.context(), std::move(options), std::move(outlets), earlier));
  if (named != nullptr) named->cut.reset();
  counts_.prompt_tokens += static_cast<uint64_t>(writer.generation->reply().prefilled_tokens);
  counts_.reused_tokens += static_cast<uint64_t>(stored_tokens);
  writer.channel->note_reused(stored_tokens);
  scheduler_.add(*writer.generation);
  return {};
}

// Other samples of a prompt that has been stored begin in forks of its context.
bool EngineCore::begin_siblings() {
  bool has_changed = false;
  for (size_t i = 0; i < running_.size(); i++) {  // grows, by writers without siblings
    Writer& first = *running_[i];
    if (first.siblings.empty() || !first.generation->has_prompt_stored()) continue;
    has_changed = true;
    while (!first.siblings.empty() && begin_sibling(first)) {
    }
    queue_siblings(first, first.prompt);
  }
  return has_changed;
}

bool EngineCore::begin_sibling(Writer& first) {
  if (first.generation->reply().shifts > 0) return false;  // its context is not the prompt any more
  Result<Context> twin = first.context().fork();
  while (!twin && free_a_place()) twin = first.context().fork();
  if (!twin) return false;
  std::unique_ptr<Writer> sibling = std::move(first.siblings.front());
  first.siblings.erase(first.siblings.begin());
  sibling->own = *std::move(twin);
  sibling->own->replace(first.prompt);
  if (Result<void> begun = begin_reply(*sibling); !begun) {
    end_queued(std::move(sibling), std::move(begun).error());
  } else {
    running_.push_back(std::move(sibling));
  }
  return true;
}

// The other samples go on as requests of their own, next in the queue.
void EngineCore::queue_siblings(Writer& first, const std::vector<int32_t>& prompt) {
  const int adapter = first.named != nullptr ? first.named->context.adapter() : first.request.adapter;
  while (!first.siblings.empty()) {
    std::unique_ptr<Writer> sibling = std::move(first.siblings.back());
    first.siblings.pop_back();
    sibling->request.context.reset();
    sibling->request.replaces = false;
    sibling->request.adapter = adapter;
    sibling->request.ids = prompt;
    sibling->has_stored_form = true;
    queue_.push_front(std::move(sibling));
  }
}

bool EngineCore::retire_ended() {
  bool has_changed = false;
  for (size_t i = 0; i < running_.size();) {
    if (!running_[i]->generation->has_ended()) {
      i++;
      continue;
    }
    retire(take(running_, static_cast<ptrdiff_t>(i)));
    has_changed = true;
  }
  return has_changed;
}

void EngineCore::retire(std::unique_ptr<Writer> writer) {
  Generation& generation = *writer->generation;
  scheduler_.remove(generation);
  counts_.generated_tokens += generation.reply().token_ids.size();
  queue_siblings(*writer, writer->prompt);
  if (writer->named != nullptr) {
    writer->named->writer = nullptr;
    const bool is_cut = generation.reply().status != ReplyStatus::kLogicalEnd && generation.options().max_tokens != 0;
    if (is_cut) writer->named->cut = cut_reply(*writer);
  }
  if (writer->own && kept_) kept_->keep(*std::move(writer->own));
  tell_end(*writer, generation.take_reply(), generation.error());
}

CutReply EngineCore::cut_reply(const Writer& writer) {
  const Generation& generation = *writer.generation;
  const GenerationOptions& options = generation.options();
  return {options.sampling,
          options.stop_ids,
          options.recovery_ids,
          writer.request.stop,
          writer.request.continues_text,
          options.grammar,
          generation.generated(),
          generation.recovery_tokens()};
}

void EngineCore::end_queued(std::unique_ptr<Writer> writer, std::optional<Error> error) {
  queue_siblings(*writer, prompt_of(*writer));
  if (writer->named != nullptr) writer->named->writer = nullptr;
  Reply reply;
  reply.status = ReplyStatus::kAborted;
  tell_end(*writer, std::move(reply), std::move(error));
}

// What was aborted need not wait for the next step.
void EngineCore::retire_aborted(Writer& writer) {
  if (!writer.channel->is_abort_wanted()) return;
  const auto is_it = [&](const std::unique_ptr<Writer>& other) { return other.get() == &writer; };
  if (const auto found = std::find_if(running_.begin(), running_.end(), is_it); found != running_.end()) {
    writer.generation->abort();
    retire(take(running_, found - running_.begin()));
  } else if (const auto queued = std::find_if(queue_.begin(), queue_.end(), is_it); queued != queue_.end()) {
    end_queued(take(queue_, queued - queue_.begin()), std::nullopt);
  }
}

void EngineCore::abort_all() {
  while (!is_idle()) {
    Writer& writer = running_.empty() ? *queue_.front() : *running_.front();
    writer.channel->abort();
    retire_aborted(writer);
  }
}

EngineState EngineCore::state() const {
  const DeviceInfo& info = model_.device().info();
  EngineState state = counts_;
  state.queued_requests = static_cast<int>(queued_replies());
  state.running_requests = static_cast<int>(running_.size());
  state.paused_requests = static_cast<int>(running_.size() - active_replies());
  state.contexts = static_cast<int>(contexts_.size());
  state.kv_bytes = info.kv_bytes;
  state.kv_bytes_used = static_cast<uint64_t>(info.pages - model_.device().free_pages()) * info.page_bytes;
  return state;
}

}  // namespace hotaru
