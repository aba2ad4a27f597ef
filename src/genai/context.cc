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

Result<Context> Context::restore(Device& device, int adapter, std::span<const int32_t> ids, int stored_tokens,
                                 const PageSource& page) {
  CHECK_LE(static_cast<size_t>(stored_tokens), ids.size());
  CHECK_LE(stored_tokens, device.info().context_tokens);
  TRY_ASSIGN(Context context, create(device, adapter));
  TRY(device.reserve(context.handle_, 0, stored_tokens));
  for (int p = 0; p * device.info().page_tokens < stored_tokens; p++) device.write_page(context.handle_, p, page(p));
  device.truncate(context.handle_, stored_tokens);
  context.append(ids);
  context.stored_tokens_ = stored_tokens;
  return context;
}

Context::Context(Device& device, int handle) : device_(&device), handle_(handle) {
  ids_.reserve(static_cast<size_t>(device.info().context_tokens) + 1);
}

Context::Context(Context&& other) noexcept
    : device_(other.device_),
      handle_(std::exchange(other.handle_, -1)),
      adapter_(other.adapter_),
      ids_(std::move(other.ids_)),
      stored_tokens_(std::exchange(other.stored_tokens_, 0)) {}

Context& Context::operator=(Context&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  std::swap(adapter_, other.adapter_);
  std::swap(ids_, other.ids_);
  std::swap(stored_tokens_, other.stored_tokens_);
  return *this;
}

Context::~Context() {
  if (handle_ >= 0) device_->destroy_context(handle_);
}

void Context::append(std::span<const int32_t> ids) { ids_.insert(ids_.end(), ids.begin(), ids.end()); }

void Context::replace(std::span<const int32_t> ids) {
  const auto stored_end = ids_.begin() + stored_tokens_;
  const auto shared = std::mismatch(ids_.begin(), stored_end, ids.begin(), ids.end()).first - ids_.begin();
  truncate_stored(static_cast<int>(shared));
  ids_.assign(ids.begin(), ids.end());
}

void Context::set_adapter(int adapter) {
  if (adapter == adapter_) return;
  truncate_stored(0);
  if (has_place()) device_->set_adapter(handle_, adapter);
  adapter_ = adapter;
}

bool Context::shift(int keep) {
  const int rest = static_cast<int>(ids_.size()) - keep;
  if (rest < 2) return false;
  std::vector<int32_t> ids(ids_.begin(), ids_.begin() + keep);
  ids.insert(ids.end(), ids_.begin() + keep + rest / 2, ids_.end());
  replace(ids);
  return true;
}

Result<Context> Context::fork() const {
  TRY_ASSIGN(Context twin, create(*device_, adapter_));
  if (stored_tokens_ > 0) TRY(device_->share(handle_, twin.handle_, stored_tokens_));
  twin.append(ids_);
  twin.stored_tokens_ = stored_tokens_;
  return twin;
}

int Context::stored_like(const Context& other) const {
  if (adapter_ != other.adapter_) return 0;
  const auto end = ids_.begin() + stored_tokens_;
  return static_cast<int>(std::mismatch(ids_.begin(), end, other.ids_.begin(), other.ids_.end()).first - ids_.begin());
}

void Context::begin_like(const Context& other, int tokens) {
  CHECK_LE(tokens, other.stored_like(*this));
  truncate_stored(0);
  if (take_place() && device_->share(other.handle_, handle_, tokens)) stored_tokens_ = tokens;
}

void Context::add_rows(int rows, std::vector<StepRow>& step) const {
  CHECK_LE(rows, pending_tokens());
  for (int position = stored_tokens_; position < stored_tokens_ + rows; position++) {
    step.push_back({ids_[static_cast<size_t>(position)], position, handle_});
  }
}

void Context::mark_stored(int rows) {
  CHECK_LE(rows, pending_tokens());
  stored_tokens_ += rows;
}

void Context::make_last_pending() {
  if (pending_tokens() > 0 || stored_tokens_ == 0) return;
  truncate_stored(stored_tokens_ - 1);
}

Result<void> Context::reserve(int rows) {
  TRY(take_place());
  return device_->reserve(handle_, stored_tokens_, stored_tokens_ + rows);
}

Result<void> Context::take_place() {
  if (has_place()) return {};
  TRY_ASSIGN(handle_, device_->create_context());
  device_->set_adapter(handle_, adapter_);
  return {};
}

void Context::truncate_stored(int tokens) {
  stored_tokens_ = tokens;
  if (has_place()) device_->truncate(handle_, tokens);
}

void Context::leave_device() {
  stored_tokens_ = 0;
  if (has_place()) device_->destroy_context(std::exchange(handle_, -1));
}

}  // namespace hotaru
