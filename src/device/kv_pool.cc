#include "device/kv_pool.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace hotaru {
namespace {
size_t pages_for(int tokens) { return (static_cast<size_t>(tokens) + kPageTokens - 1) / kPageTokens; }
}  // namespace

Result<KvPool> KvPool::create(size_t page_bytes, int page_count) {
  KvPool pool;
  // A token reads 8 KB pieces that lie a page of all layers apart: with 4 KB pages each of them costs two walks through
  // the page tables.
  TRY_ASSIGN(pool.memory_, Region::create(page_bytes * static_cast<size_t>(page_count), RegionPages::kLarge));
  pool.page_bytes_ = page_bytes;
  pool.references_.resize(static_cast<size_t>(page_count));
  pool.free_.reserve(static_cast<size_t>(page_count));
  // Pushed in falling order, so that pages are taken in rising order.
  for (int p = page_count - 1; p >= 0; p--)
    pool.free_.push_back(pool.memory_.data() + static_cast<size_t>(p) * page_bytes);
  pool.contexts_.resize(kMaxContexts);
  // A context never holds a page twice: more than all of them is not needed.
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

size_t KvPool::page_number(const std::byte* page) const {
  return static_cast<size_t>(page - memory_.data()) / page_bytes_;
}

Result<std::byte*> KvPool::take_page(int tokens) {
  if (free_.empty()) {
    return make_error(ErrorKind::kNoMemory,
                      "KV cache full: {} tokens wanted in one context, all {} pages of {} tokens are in use", tokens,
                      references_.size(), kPageTokens);
  }
  std::byte* page = free_.back();
  free_.pop_back();
  references_[page_number(page)] = 1;
  return page;
}

void KvPool::drop_page(std::byte* page) {
  int32_t& references = references_[page_number(page)];
  references--;
  CHECK_GE(references, 0);
  if (references == 0) free_.push_back(page);
}

Result<void> KvPool::reserve(int context, int first, int tokens) {
  CHECK(is_open(context));
  CHECK_GE(first, 0);
  std::vector<std::byte*>& pages = contexts_[static_cast<size_t>(context)].pages;
  const size_t wanted = pages_for(tokens);
  for (size_t p = static_cast<size_t>(first) / kPageTokens; p < std::min(wanted, pages.size()); p++) {
    if (references_[page_number(pages[p])] == 1) continue;
    TRY_ASSIGN(std::byte* const copy, take_page(tokens));
    std::memcpy(copy, pages[p], page_bytes_);
    drop_page(pages[p]);
    pages[p] = copy;
  }
  while (pages.size() < wanted) {
    TRY_ASSIGN(std::byte* const page, take_page(tokens));
    // Nothing of what another context left may reach a file, in which whole pages lie.
    std::memset(page, 0, page_bytes_);
    pages.push_back(page);
  }
  return {};
}

void KvPool::share(int from, int to, int tokens) {
  CHECK(is_open(from) && is_open(to) && from != to);
  CHECK_LE(tokens, reserved_tokens(from));
  CHECK_EQ(reserved_tokens(to), 0);
  const std::vector<std::byte*>& pages = contexts_[static_cast<size_t>(from)].pages;
  for (size_t p = 0; p < pages_for(tokens); p++) {
    references_[page_number(pages[p])]++;
    contexts_[static_cast<size_t>(to)].pages.push_back(pages[p]);
  }
}

void KvPool::truncate(int context, int tokens) {
  CHECK(is_open(context));
  CHECK_GE(tokens, 0);
  std::vector<std::byte*>& pages = contexts_[static_cast<size_t>(context)].pages;
  while (pages.size() > pages_for(tokens)) {
    drop_page(pages.back());
    pages.pop_back();
  }
}

std::byte* KvPool::page_at(int context, int page) const {
  CHECK(is_open(context));
  const std::vector<std::byte*>& pages = contexts_[static_cast<size_t>(context)].pages;
  CHECK(page >= 0 && static_cast<size_t>(page) < pages.size());
  return pages[static_cast<size_t>(page)];
}

void KvPool::read_page(int context, int page, std::span<std::byte> bytes) const {
  CHECK_EQ(bytes.size(), page_bytes_);
  std::memcpy(bytes.data(), page_at(context, page), page_bytes_);
}

void KvPool::write_page(int context, int page, std::span<const std::byte> bytes) {
  CHECK_EQ(bytes.size(), page_bytes_);
  CHECK(owns(context, page * kPageTokens));
  std::memcpy(page_at(context, page), bytes.data(), page_bytes_);
}

bool KvPool::is_open(int context) const {
  return context >= 0 && context < kMaxContexts && contexts_[static_cast<size_t>(context)].is_open;
}

int KvPool::reserved_tokens(int context) const {
  return static_cast<int>(contexts_[static_cast<size_t>(context)].pages.size()) * kPageTokens;
}

bool KvPool::owns(int context, int position) const {
  if (position < 0 || position >= reserved_tokens(context)) return false;
  return references_[page_number(page_at(context, position / kPageTokens))] == 1;
}

int KvPool::capacity_tokens() const { return static_cast<int>(references_.size()) * kPageTokens; }

std::byte* const* KvPool::pages(int context) const { return contexts_[static_cast<size_t>(context)].pages.data(); }

}  // namespace hotaru
