#include "genai/prefix_store.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hotaru {
namespace {

// How many tokens the context has stored of these ids, from the first one on.
int stored_of(const Context& context, std::span<const int32_t> ids) {
  const std::span<const int32_t> stored(context.ids().data(), static_cast<size_t>(context.stored_tokens()));
  return static_cast<int>(std::ranges::mismatch(stored, ids).in1 - stored.begin());
}

}  // namespace

PrefixStore::PrefixStore(Device& device, int most_pages)
    : device_(&device), most_pages_(std::clamp(most_pages, 0, device.info().pages)) {}

int PrefixStore::pages_for(int tokens) const {
  return (tokens + device_->info().page_tokens - 1) / device_->info().page_tokens;
}

int PrefixStore::pages() const {
  int pages = 0;
  for (const Kept& kept : kept_) pages += pages_for(kept.context.stored_tokens());
  return pages;
}

PrefixStore::Match PrefixStore::find(std::span<const int32_t> ids, int adapter) const {
  Match best;
  for (size_t i = 0; i < kept_.size(); i++) {
    if (kept_[i].context.adapter() != adapter) continue;
    const int tokens = stored_of(kept_[i].context, ids);
    if (tokens > best.tokens) best = {i, tokens};
  }
  return best;
}

int PrefixStore::longest(std::span<const int32_t> ids, int adapter) const {
  if (ids.empty()) return 0;
  return find(ids.first(ids.size() - 1), adapter).tokens;
}

Result<void> PrefixStore::begin_with(Context& fresh, std::span<const int32_t> ids) {
  CHECK_EQ(fresh.stored_tokens(), 0);
  fresh.clear();
  if (ids.empty()) return {};
  const Match match = find(ids.first(ids.size() - 1), fresh.adapter());
  if (match.tokens == 0) return {};
  Kept& kept = kept_[match.index];
  kept.last_use = ++uses_;
  fresh.append(ids.first(static_cast<size_t>(match.tokens)));
  fresh.begin_like(kept.context, match.tokens);
  return {};
}

void PrefixStore::keep(Context&& context) {
  CHECK(&context.device() == device_);
  Kept fresh{std::move(context), ++uses_};
  const int page_tokens = device_->info().page_tokens;
  const int tokens = std::min(fresh.context.stored_tokens(), most_pages_ * page_tokens);
  const std::vector<int32_t> ids(fresh.context.ids().begin(), fresh.context.ids().begin() + tokens);
  fresh.context.replace(ids);
  if (tokens == 0) return;
  const Match longer = find(ids, fresh.context.adapter());
  if (longer.tokens == tokens) {
    kept_[longer.index].last_use = fresh.last_use;
    return;
  }
  // It offers all that its own beginnings offer.
  std::erase_if(kept_, [&](const Kept& kept) {
    return kept.context.adapter() == fresh.context.adapter() &&
           stored_of(kept.context, ids) == kept.context.stored_tokens();
  });
  while (pages() + pages_for(tokens) > most_pages_) CHECK(evict_one());
  kept_.push_back(std::move(fresh));
}

bool PrefixStore::evict_one() {
  if (kept_.empty()) return false;
  kept_.erase(std::ranges::min_element(kept_, {}, &Kept::last_use));
  return true;
}

}  // namespace hotaru
