#include "genai/conversation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/json.h"

namespace hotaru {
namespace {

constexpr std::string_view kStatePlace = "the chat in the context file";

Result<std::string> text_of(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::type_error&) {  // the library's answer to bytes that are not UTF-8
    return invalid("prompt: got bytes that are not UTF-8, want UTF-8 text");
  }
}

// `message` was checked or made here.
std::string role_of(const std::string& message) { return Json::parse(message).value("role", ""); }
bool is_system(const std::string& message) { return role_of(message) == "system"; }
bool is_user(const std::string& message) { return role_of(message) == "user"; }

Result<std::vector<std::string>> messages_of(const Json& state) {
  const auto found = state.find("messages");
  if (found == state.end() || !found->is_array()) return invalid("{} 'messages': want a list", kStatePlace);
  std::vector<std::string> messages;
  for (const Json& message : *found) {
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      return invalid("{} 'messages': want JSON objects with a role", kStatePlace);
    }
    messages.push_back(message.dump());
  }
  return messages;
}

}  // namespace

Result<std::string> message_json(std::string_view role, std::string_view content) {
  return text_of({{"role", role}, {"content", content}});
}

Result<Conversation> Conversation::create(std::shared_ptr<Engine> engine, int adapter) {
  TRY_ASSIGN(const ContextId context, engine->create_context(adapter));
  return Conversation(std::move(engine), context);
}

Conversation::Conversation(Conversation&& other) noexcept = default;

Conversation& Conversation::operator=(Conversation&& other) noexcept {
  std::swap(engine_, other.engine_);
  std::swap(context_, other.context_);
  std::swap(system_, other.system_);
  std::swap(dropped_begin_, other.dropped_begin_);
  std::swap(dropped_end_, other.dropped_end_);
  std::swap(messages_, other.messages_);
  std::swap(is_raw_, other.is_raw_);
  std::swap(reply_, other.reply_);
  std::swap(recovery_, other.recovery_);
  std::swap(ends_with_cut_, other.ends_with_cut_);
  std::swap(pending_, other.pending_);
  return *this;
}

Conversation::~Conversation() {
  if (engine_ != nullptr) engine_->destroy_context(context_);
}

Result<Conversation> Conversation::fork() const {
  TRY_ASSIGN(const ContextId context, engine_->fork_context(context_));
  Conversation other(engine_, context);
  other.system_ = system_;
  other.set_dropped_marks(dropped_begin_, dropped_end_);
  other.messages_ = messages_;
  other.is_raw_ = is_raw_;
  other.reply_ = reply_;
  other.recovery_ = recovery_;
  other.ends_with_cut_ = ends_with_cut_;
  return other;
}

Result<void> Conversation::save(const std::string& path) const {
  Json messages = Json::array();
  for (const std::string& message : messages_) messages.push_back(Json::parse(message));
  TRY_ASSIGN(const std::string state, text_of({{"system", system_},
                                               {"messages", messages},
                                               {"is_raw", is_raw_},
                                               {"reply", reply_},
                                               {"recovery", recovery_},
                                               {"ends_with_cut", ends_with_cut_}}));
  return engine_->save_context(context_, path, state);
}

Result<Conversation> Conversation::load(std::shared_ptr<Engine> engine, const std::string& path) {
  TRY_ASSIGN(Engine::LoadedContext loaded, engine->load_context(path));
  Conversation conversation(std::move(engine), loaded.context);  // from here on it owns the context
  const auto read = [&]() -> Result<void> {
    if (loaded.host_state.empty()) {  // saved by a caller that keeps no chat
      conversation.is_raw_ = true;
      conversation.ends_with_cut_ = true;
      return {};
    }
    TRY_ASSIGN(const Json state, parse_json(loaded.host_state, kStatePlace));
    if (!state.is_object()) return invalid("{}: want a JSON object", kStatePlace);
    TRY_ASSIGN(conversation.system_, json_string(state, "system", ""));
    TRY_ASSIGN(conversation.messages_, messages_of(state));
    TRY_ASSIGN(conversation.is_raw_, json_bool(state, "is_raw", false));
    TRY_ASSIGN(conversation.reply_, json_string(state, "reply", ""));
    TRY_ASSIGN(conversation.recovery_, json_string(state, "recovery", ""));
    TRY_ASSIGN(conversation.ends_with_cut_, json_bool(state, "ends_with_cut", true));
    const std::vector<std::string>& messages = conversation.messages_;
    const bool has_reply = !messages.empty() && role_of(messages.back()) == "assistant";
    if (!has_reply && !conversation.recovery_.empty()) {
      return invalid("{} 'recovery': want it behind a message of the assistant", kStatePlace);
    }
    if (!has_reply && !conversation.is_raw_) conversation.ends_with_cut_ = false;
    return {};
  };
  if (Result<void> done = read(); !done) return at(path, std::move(done).error());
  return conversation;
}

ContextState Conversation::context_state() const {
  Result<ContextState> state = engine_->context_state(context_);
  CHECK(state.ok());  // the context is ours until the destructor
  return *std::move(state);
}

Result<void> Conversation::clear() {
  TRY(engine_->clear_context(context_));
  messages_.clear();
  is_raw_ = false;
  reply_.clear();
  recovery_.clear();
  ends_with_cut_ = false;
  return {};
}

std::string Conversation::without_dropped(const std::string& message) const {
  if (dropped_begin_.empty() || dropped_end_.empty()) return message;
  Json json = Json::parse(message);  // was checked or made here
  if (json.value("role", "") != "assistant" || !json.contains("content") || !json["content"].is_string())
    return message;
  std::string text = json["content"];
  while (true) {
    const size_t begin = text.find(dropped_begin_);
    const size_t end = text.find(dropped_end_);
    if (begin == std::string::npos && end == std::string::npos) break;
    const size_t from = begin < end ? begin : 0;  // some templates open the reasoning before the reply
    const size_t past = end == std::string::npos ? end : text.find_first_not_of(" \n", end + dropped_end_.size());
    text.erase(from, past == std::string::npos ? past : past - from);
  }
  json["content"] = text;
  return json.dump();
}

Result<std::string> Conversation::list_of(std::span<const std::string> messages) const {
  std::string list;
  const auto add = [&list](std::string_view message) {
    list += list.empty() ? "[" : ",";
    list += message;
  };
  if (!system_.empty() && !is_raw_) {
    TRY_ASSIGN(const std::string system, message_json("system", system_));
    add(system);
  }
  for (const std::string& message : messages) add(without_dropped(message));
  return list + "]";
}

Result<std::vector<int32_t>> Conversation::encode_messages(std::span<const std::string> messages) const {
  TRY_ASSIGN(const std::string list, list_of(messages));
  return engine_->model().encode_chat(list);
}

// Each part by itself, except messages that follow each other.
Result<std::vector<int32_t>> Conversation::encode_behind(std::span<const PromptPart> parts) const {
  const LanguageModel& model = engine_->model();
  std::vector<int32_t> ids;
  std::vector<std::string> messages;
  const auto is_start = [&] { return ids.empty() && context_state().ids.empty(); };
  for (size_t i = 0; i < parts.size(); i++) {
    const PromptPart& part = parts[i];
    Result<std::vector<int32_t>> next = std::vector<int32_t>();
    if (part.kind == PromptPart::Kind::kMessage) {
      messages.push_back(part.text);
      if (i + 1 < parts.size() && parts[i + 1].kind == PromptPart::Kind::kMessage) continue;
      next = encode_messages(std::exchange(messages, {}));
    } else if (part.kind == PromptPart::Kind::kText) {
      next = is_start() ? model.encode_text(part.text) : model.encode_more_text(part.text);
    } else {
      TRY(model.check_ids(part.ids));
      next = part.ids;
    }
    if (!next) return std::move(next).error();
    ids.insert(ids.end(), next->begin(), next->end());
  }
  return ids;
}

// Where the chat does not fit: without its oldest messages that are not the system's. Returns how many those were.
Result<int> Conversation::drop_oldest(std::vector<int32_t>& ids) {
  // Room for a reply, too; otherwise it would shift at once.
  const auto most = static_cast<size_t>(engine_->model().device().info().context_tokens) / 4 * 3;
  int dropped = 0;
  while (ids.size() > most) {
    const auto first = std::find_if_not(pending_.messages.begin(), pending_.messages.end(), is_system);
    if (first == pending_.messages.end()) break;
    // A reply without its question would not do; the last message stays.
    const auto last = std::find_if(first + 1, pending_.messages.end(), is_user);
    if (last == pending_.messages.end()) break;
    dropped += static_cast<int>(last - first);
    pending_.messages.erase(first, last);
    TRY_ASSIGN(ids, encode_messages(pending_.messages));
  }
  return dropped;
}

// A full context keeps what every chat with these system messages begins with, unless the caller says how much.
Result<void> Conversation::keep_opening(GenerationOptions& options, std::span<const int32_t> ids) const {
  if (options.when_full != WhenFull::kShift || options.keep_tokens >= 0 || pending_.messages.empty()) return {};
  ChatRequest request;
  TRY_ASSIGN(request.messages_json, list_of(pending_.messages));
  TRY_ASSIGN(options.keep_tokens, engine_->model().opening_tokens(std::move(request), ids));
  return {};
}

Result<Conversation::Turn> Conversation::begin_chat(std::span<const PromptPart> parts, TurnOptions options) {
  pending_.messages = messages_;
  if (!recovery_.empty()) {
    TRY_ASSIGN(pending_.messages.back(), message_json("assistant", reply_ + recovery_));
  }
  for (const PromptPart& part : parts) pending_.messages.push_back(part.text);
  Turn turn;
  TRY_ASSIGN(turn.prompt_ids, encode_messages(pending_.messages));
  if (options.generation.when_full == WhenFull::kShift) {
    TRY_ASSIGN(turn.dropped_messages, drop_oldest(turn.prompt_ids));
  }
  TRY(keep_opening(options.generation, turn.prompt_ids));
  GenerationRequest request;
  request.ids = turn.prompt_ids;
  request.replaces = true;
  TRY(submit(std::move(request), options, turn));
  return turn;
}

Result<Conversation::Turn> Conversation::begin_raw(std::span<const PromptPart> parts, const TurnOptions& options) {
  pending_.is_raw = true;
  Turn turn;
  TRY_ASSIGN(turn.prompt_ids, encode_behind(parts));
  GenerationRequest request;
  request.ids = turn.prompt_ids;
  TRY(submit(std::move(request), options, turn));
  return turn;
}

Result<void> Conversation::submit(GenerationRequest request, const TurnOptions& options, Turn& turn) {
  const std::vector<int32_t>& recovery_ids = options.generation.recovery_ids;
  if (!pending_.resumes && !recovery_ids.empty() && engine_->model().tokenizer() != nullptr) {
    TRY_ASSIGN(pending_.recovery, engine_->model().tokenizer()->decode(recovery_ids));
  }
  pending_.wants_reply = pending_.resumes || options.generation.max_tokens != 0;
  request.context = context_;
  request.options = options.generation;
  request.stop = options.stop;
  request.continues_text = options.continues_text;
  request.top_logprobs = options.top_logprobs;
  request.on_ready = options.on_ready;
  TRY_ASSIGN(turn.others, engine_->submit_samples(std::move(request), options.samples));
  ends_with_cut_ = false;
  turn.stream = std::move(turn.others.front());
  turn.others.erase(turn.others.begin());
  return {};
}

Result<Conversation::Turn> Conversation::begin(std::vector<PromptPart> parts, const TurnOptions& options) {
  const auto is_message = [](const PromptPart& part) { return part.kind == PromptPart::Kind::kMessage; };
  const bool is_chat =
      !is_raw_ && std::all_of(parts.begin(), parts.end(), is_message) && (!parts.empty() || !messages_.empty());
  pending_ = {};
  return is_chat ? begin_chat(parts, options) : begin_raw(parts, options);
}

Result<Conversation::Turn> Conversation::resume(TurnOptions options) {
  if (!can_resume()) return invalid("there is no cut reply to go on with");
  pending_ = {};
  pending_.messages = messages_;
  pending_.is_raw = is_raw_;
  pending_.resumes = true;
  pending_.recovery = recovery_;  // the cut reply's own
  GenerationRequest request;
  request.resumes = true;
  TRY(keep_opening(options.generation, context_state().ids));
  options.samples = 1;
  Turn turn;
  TRY(submit(std::move(request), options, turn));
  return turn;
}

void Conversation::finish(const Reply& reply) {
  const bool was_cut = reply.status == ReplyStatus::kMaxTokens || reply.status == ReplyStatus::kAborted;
  is_raw_ = pending_.is_raw;
  messages_ = is_raw_ ? std::vector<std::string>() : std::move(pending_.messages);
  recovery_.clear();
  if (!is_raw_ && !pending_.wants_reply) return;
  ends_with_cut_ = reply.status != ReplyStatus::kLogicalEnd;
  if (is_raw_) return;
  if (pending_.resumes) {
    reply_ += reply.text;
    messages_.pop_back();
  } else {
    reply_ = reply.text;
  }
  Result<std::string> message = message_json("assistant", reply_);
  CHECK(message.ok());  // a reply's text is UTF-8
  messages_.push_back(*std::move(message));
  if (was_cut) recovery_ = std::move(pending_.recovery);
}

void Conversation::drop() { pending_ = {}; }

}  // namespace hotaru
