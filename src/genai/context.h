// The tokens of one conversation, and how many of them the device's KV cache holds already. What is not stored yet
// (a new prompt, the last sampled token) is pending and goes through the device before the next token is sampled. For
// one thread, that of the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace hotaru {

class Context {
 public:
  // The device must outlive the context.
  static Result<Context> create(Device& device, int adapter = kNoAdapter);
  // The first `stored_tokens` of the ids are stored: `page` gives the pages that read_page gave. kNoMemory: the device
  // has no place for them.
  using PageSource = std::function<std::span<const std::byte>(int page)>;
  static Result<Context> restore(Device& device, int adapter, std::span<const int32_t> ids, int stored_tokens,
                                 const PageSource& page);
  Context(Context&& other) noexcept;
  Context& operator=(Context&& other) noexcept;
  ~Context();

  [[nodiscard]] const std::vector<int32_t>& ids() const { return ids_; }
  [[nodiscard]] int stored_tokens() const { return stored_tokens_; }
  [[nodiscard]] int pending_tokens() const { return static_cast<int>(ids_.size()) - stored_tokens_; }
  [[nodiscard]] int capacity_tokens() const { return device_->info().context_tokens; }
  [[nodiscard]] Device& device() const { return *device_; }

  // Goes on with these ids: they become pending.
  void append(std::span<const int32_t> ids);
  // These ids are now the whole context. The keys and values of the prefix that it shares with the old one stay.
  void replace(std::span<const int32_t> ids);
  void clear() { replace({}); }
  // Forgets of the ids behind the first `keep` the older half; those that stay move, so they become pending. False:
  // there is nothing to forget.
  bool shift(int keep);
  // The adapter (or kNoAdapter) of everything from now on. Another one than before sees all ids anew: they become
  // pending.
  void set_adapter(int adapter);
  [[nodiscard]] int adapter() const { return adapter_; }

  // Another context with the same adapter, ids and stored tokens. Pages are shared: either side gets its own copy of
  // one before it writes there. kNoMemory: the device has no place for one more context.
  [[nodiscard]] Result<Context> fork() const;

  // How many of its stored tokens begin `other` too: the same ids under the same adapter.
  [[nodiscard]] int stored_like(const Context& other) const;
  // Takes over the first tokens that `other` has stored instead of what is stored here; stored_like says how many are
  // alike.
  void begin_like(const Context& other, int tokens);

  // What a step (scheduler.h) needs: pages for the next pending tokens, their rows, and that they are stored now.
  Result<void> reserve(int rows);
  void add_rows(int rows, std::vector<StepRow>& step) const;
  void mark_stored(int rows);
  // Logits belong to a step: with nothing pending, the last token goes through the model once more.
  void make_last_pending();
  // A page of what is stored, device().info().page_bytes of it.
  void read_page(int page, std::span<std::byte> bytes) const { device_->read_page(handle_, page, bytes); }
  // Gives back the pages and the place in the device; every id becomes pending. reserve() takes a place again.
  void leave_device();
  [[nodiscard]] bool has_place() const { return handle_ >= 0; }

 private:
  Context(Device& device, int handle);
  Result<void> take_place();
  void truncate_stored(int tokens);

  Device* device_;
  int handle_;  // the device's; -1: no place there, so nothing is stored
  int adapter_ = kNoAdapter;
  std::vector<int32_t> ids_;
  int stored_tokens_ = 0;
};

}  // namespace hotaru
