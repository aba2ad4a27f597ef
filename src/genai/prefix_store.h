// Contexts kept after their reply, for prompts that begin like them: such a prompt takes over the pages of what is the
// same (ids from the first one on, under the same adapter) instead of computing them. It changes no result.
//
// For the device's thread. A linear search: there are at most as many contexts as the device has places, and one step
// of the model costs more than comparing with all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "genai/context.h"

namespace hotaru {

class PrefixStore {
 public:
  // The device must outlive the store. `most_pages`: what it may hold, pages that its contexts share counted for each.
  PrefixStore(Device& device, int most_pages);

  // How many of the first ids are stored under this adapter; not the last one, whose logits a reply needs.
  [[nodiscard]] int longest(std::span<const int32_t> ids, int adapter) const;
  // `fresh` holds nothing. Afterwards it holds the longest stored prefix under its adapter (often nothing), shared with
  // the store; at least one of the ids is left to be computed.
  Result<void> begin_with(Context& fresh, std::span<const int32_t> ids);
  // What the context has stored may begin later prompts; what is pending is dropped. Beyond most_pages, those that were
  // not used for the longest time go.
  void keep(Context&& context);
  // Gives up the context that was not used for the longest time; false: there is none.
  bool evict_one();

  [[nodiscard]] int contexts() const { return static_cast<int>(kept_.size()); }
  [[nodiscard]] int pages() const;

 private:
  struct Kept {
    Context context;
    uint64_t last_use = 0;
  };
  struct Match {
    size_t index = 0;  // of kept_
    int tokens = 0;    // 0: nothing begins like it
  };
  [[nodiscard]] Match find(std::span<const int32_t> ids, int adapter) const;
  [[nodiscard]] int pages_for(int tokens) const;

  Device* device_;
  int most_pages_;
  uint64_t uses_ = 0;
  std::vector<Kept> kept_;
};

}  // namespace hotaru
