// Contexts that clients hold from one request to the next, each with a chat. They keep their model loaded, and live
// until they are deleted or the server ends.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "genai/conversation.h"
#include "server/store/model_pool.h"

namespace hotaru::server {

struct HeldContext {
  HeldContext(std::string name, ModelLease model, Conversation chat);
  // Takes the conversation for a reply, until end_reply(); nullptr: there was none, or it failed. False: it is taken.
  bool begin_reply();
  void end_reply(const Reply* reply);
  [[nodiscard]] const DeviceInfo& device() const { return lease.engine->model().device().info(); }

  const std::string id;
  const ModelLease lease;
  const int64_t created_at;  // Unix seconds
  std::mutex mutex;          // of what follows
  Conversation conversation;
  bool is_replying = false;  // a reply has the conversation
};

// As docs/openapi.json describes it; the context's mutex is held.
Json context_json(const HeldContext& context, bool with_messages);

// Any thread.
class HeldContexts {
 public:
  // kBusy: there are too many.
  Result<std::shared_ptr<HeldContext>> add(ModelLease lease, Conversation conversation);
  // kNotFound.
  [[nodiscard]] Result<std::shared_ptr<HeldContext>> find(std::string_view id) const;
  // A reply on its way in it goes on to its end.
  Result<void> remove(std::string_view id);
  [[nodiscard]] std::vector<std::shared_ptr<HeldContext>> all() const;  // oldest first

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<HeldContext>> contexts_;
};

}  // namespace hotaru::server
