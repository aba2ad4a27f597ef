#include "device/kv_pool.h"

#include "base/check.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {
size_t pages_for(int tokens) { return (static_cast<size_t>(tokens) + kPageTokens - 1) / kPageTokens; }
}  // namespace

Result<KvPool> KvPool::create(size_t page_bytes, int page_count) {
  KvPool pool;
  TRY_ASSIGN(pool.memory_, Region::create(page_bytes * static_cast<size_t>(page_count)));
  pool.page_count_ = page_count;
  pool.free_.reserve(static_cast<size_t>(page_count));
  // Pushed in falling order, so that pages are taken in rising order.
  for (int p = page_count - 1; p >= 0; p--)
    pool.free_.push_back(pool.memory_.data() + static_cast<size_t>(p) * page_bytes);
  pool.contexts_.resize(kMaxContexts);
  for (Context& context : pool.contexts_) context.pages.reserve(static_cast<size_t>(page_count));
  return pool;
}

Result<int> KvPool::create_context() {
  for (int i = 0; i < kMaxContexts; i++) {
    Context& context = contexts_[static_cast<size_t>(i)];
    if (context.is_open) continue;
    context.is_open = true;
    return i;
  }
  return make_error(ErrorKind::kNoMemory, "no context slot left: all {} are in use", kMaxContexts);
}

void KvPool::destroy_context(int context) {
  truncate(context, 0);
  contexts_[static_cast<size_t>(context)].is_open = false;
}

Result<void> KvPool::reserve(int context, int tokens) {
  CHECK(is_open(context));
  std::vector<std::byte*>& pages = contexts_[static_cast<size_t>(context)].pages;
  while (pages.size() < pages_for(tokens)) {
    if (free_.empty()) {
      return make_error(ErrorKind::kNoMemory,
                        "KV cache full: {} tokens wanted in one context, {} pages of {} tokens in all", tokens,
                        page_count_, kPageTokens);
    }
    pages.push_back(free_.back());
    free_.pop_back();
  }
  return {};
}

void KvPool::truncate(int context, int tokens) {
  CHECK(is_open(context));
  std::vector<std::byte*>& pages = contexts_[static_cast<size_t>(context)].pages;
  while (pages.size() > pages_for(tokens)) {
    free_.push_back(pages.back());
    pages.pop_back();
  }
}

bool KvPool::is_open(int context) const {
  return context >= 0 && context < kMaxContexts && contexts_[static_cast<size_t>(context)].is_open;
}

int KvPool::reserved_tokens(int context) const {
  return static_cast<int>(contexts_[static_cast<size_t>(context)].pages.size()) * kPageTokens;
}

int KvPool::capacity_tokens() const { return page_count_ * kPageTokens; }

std::byte* const* KvPool::pages(int context) const { return contexts_[static_cast<size_t>(context)].pages.data(); }

}  // namespace hotaru
