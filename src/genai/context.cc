#include "genai/context.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hotaru {

Result<Context> Context::create(Device& device, int adapter) {
  TRY_ASSIGN(const int handle, device.create_context());
  Context context(device, handle);
  context.set_adapter(adapter);
  return context;
}

Context::Context(Device& device, int handle) : device_(&device), handle_(handle) {
  rows_.reserve(static_cast<size_t>(device.info().prefill_rows));
  ids_.reserve(static_cast<size_t>(device.info().context_tokens) + 1);
}

Context::Context(Context&& other) noexcept
    : device_(other.device_),
      handle_(std::exchange(other.handle_, -1)),
      adapter_(other.adapter_),
      ids_(std::move(other.ids_)),
      stored_tokens_(std::exchange(other.stored_tokens_, 0)),
      rows_(std::move(other.rows_)) {}

Context& Context::operator=(Context&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  std::swap(adapter_, other.adapter_);
  std::swap(ids_, other.ids_);
  std::swap(stored_tokens_, other.stored_tokens_);
  std::swap(rows_, other.rows_);
  return *this;
}

Context::~Context() {
  if (handle_ >= 0) device_->destroy_context(handle_);
}

void Context::append(std::span<const int32_t> ids) { ids_.insert(ids_.end(), ids.begin(), ids.end()); }

void Context::replace(std::span<const int32_t> ids) {
  const auto stored_end = ids_.begin() + stored_tokens_;
  const auto shared = std::mismatch(ids_.begin(), stored_end, ids.begin(), ids.end()).first - ids_.begin();
  stored_tokens_ = static_cast<int>(shared);
  device_->truncate(handle_, stored_tokens_);
  ids_.assign(ids.begin(), ids.end());
}

void Context::set_adapter(int adapter) {
  if (adapter == adapter_) return;
  stored_tokens_ = 0;
  device_->truncate(handle_, 0);
  device_->set_adapter(handle_, adapter);
  adapter_ = adapter;
}

Result<int> Context::store_chunk(int chunk) {
  const int rows = std::min({chunk, pending_tokens(), device_->info().prefill_rows});
  TRY(device_->reserve(handle_, stored_tokens_, stored_tokens_ + rows));
  rows_.clear();
  for (int i = 0; i < rows; i++) {
    const int position = stored_tokens_ + i;
    rows_.push_back({ids_[static_cast<size_t>(position)], position, handle_});
  }
  device_->step(rows_);
  stored_tokens_ += rows;
  return rows;
}

Result<bool> Context::store_pending(int chunk, bool want_logits, const std::atomic<bool>* abort) {
  CHECK_GT(chunk, 0);
  if (ids_.size() > static_cast<size_t>(capacity_tokens())) {
    return make_error(ErrorKind::kNoMemory, "the context is full: got {} tokens, want at most {}", ids_.size(),
                      capacity_tokens());
  }
  if (want_logits && pending_tokens() == 0 && stored_tokens_ > 0) {
    // Logits belong to a step: the last token goes through the model once more.
    stored_tokens_--;
    device_->truncate(handle_, stored_tokens_);
  }
  int32_t last_row = -1;
  while (pending_tokens() > 0) {
    if (abort != nullptr && abort->load(std::memory_order_relaxed)) return false;
    TRY_ASSIGN(const int rows, store_chunk(chunk));
    last_row = rows - 1;
  }
  if (want_logits) {
    CHECK_GE(last_row, 0);
    device_->compute_logits({&last_row, 1});
  }
  return true;
}

}  // namespace hotaru
