#include "server/own/held_contexts.h"

#include <algorithm>
#include <utility>

#include "server/reply/answer_id.h"

namespace hotaru::server {
namespace {

constexpr size_t kMostContexts = 1024;

Error unknown(std::string_view id) { return make_error(ErrorKind::kNotFound, "context '{}' not found", id); }

}  // namespace

HeldContext::HeldContext(std::string name, ModelLease model, Conversation chat)
    : id(std::move(name)), lease(std::move(model)), created_at(unix_seconds()), conversation(std::move(chat)) {}

bool HeldContext::begin_reply() {
  const std::lock_guard lock(mutex);
  return !std::exchange(is_replying, true);
}

void HeldContext::end_reply(const Reply* reply) {
  const std::lock_guard lock(mutex);
  if (reply != nullptr) {
    conversation.finish(*reply);
  } else {
    conversation.drop();
  }
  is_replying = false;
}

Json context_json(const HeldContext& context, bool with_messages) {
  const ContextState state = context.conversation.context_state();
  Json json;
  json["id"] = context.id;
  json["model"] = context.lease.stored.name.name;
  json["lora"] = state.adapter == kNoAdapter ? "" : context.device().adapters[static_cast<size_t>(state.adapter)];
  json["created_at"] = context.created_at;
  json["tokens"] = state.ids.size();
  json["stored_tokens"] = state.stored_tokens;
  json["capacity_tokens"] = state.capacity_tokens;
  json["is_busy"] = context.is_replying;
  json["can_resume"] = !context.is_replying && context.conversation.can_resume();
  if (!with_messages) return json;
  json["system"] = context.conversation.system();
  json["messages"] = Json::array();
  for (const std::string& message : context.conversation.messages()) {
    json["messages"].push_back(Json::parse(message));
  }
  return json;
}

Result<std::shared_ptr<HeldContext>> HeldContexts::add(ModelLease lease, Conversation conversation) {
  auto context = std::make_shared<HeldContext>(new_id("ctx-"), std::move(lease), std::move(conversation));
  const std::lock_guard lock(mutex_);
  if (contexts_.size() >= kMostContexts) {
    return make_error(ErrorKind::kBusy, "there are {} contexts, and no more at a time", kMostContexts);
  }
  contexts_.push_back(context);
  return context;
}

Result<std::shared_ptr<HeldContext>> HeldContexts::find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(contexts_.begin(), contexts_.end(), [id](const auto& held) { return held->id == id; });
  if (found == contexts_.end()) return unknown(id);
  return *found;
}

Result<void> HeldContexts::remove(std::string_view id) {
  std::shared_ptr<HeldContext> removed;  // ends when nothing is locked
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(contexts_.begin(), contexts_.end(), [id](const auto& held) { return held->id == id; });
  if (found == contexts_.end()) return unknown(id);
  removed = std::move(*found);
  contexts_.erase(found);
  return {};
}

std::vector<std::shared_ptr<HeldContext>> HeldContexts::all() const {
  const std::lock_guard lock(mutex_);
  return contexts_;
}

}  // namespace hotaru::server
