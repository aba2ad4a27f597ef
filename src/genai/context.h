// The tokens of one conversation, and how many of them the device's KV cache holds already. What is not stored yet
// (a new prompt, the last sampled token) is pending and goes through the device before the next token is sampled.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace hotaru {

class Context {
 public:
  // The device must outlive the context.
  static Result<Context> create(Device& device, int adapter = kNoAdapter);
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
  // The adapter (or kNoAdapter) of everything from now on. Another one than before sees all ids anew: they become
  // pending.
  void set_adapter(int adapter);
  [[nodiscard]] int adapter() const { return adapter_; }

  // Stores the pending tokens, `chunk` at a time (the result does not depend on it), and computes the logits after the
  // last id when `want_logits`. Stops between two chunks when *abort becomes true: false. Errors: kNoMemory when the
  // context is full; the tokens of whole chunks before are stored then.
  Result<bool> store_pending(int chunk, bool want_logits, const std::atomic<bool>* abort);
  // [V] after the last id; valid until the device's next call.
  [[nodiscard]] std::span<const float> logits() const { return device_->logits(0); }

 private:
  Context(Device& device, int handle);
  Result<int> store_chunk(int chunk);

  Device* device_;
  int handle_;  // the device's; -1 when moved from
  int adapter_ = kNoAdapter;
  std::vector<int32_t> ids_;
  int stored_tokens_ = 0;
  std::vector<StepRow> rows_;  // of one step, kept to allocate nothing per token
};

}  // namespace hotaru
