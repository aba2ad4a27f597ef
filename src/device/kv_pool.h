// The KV cache: pages of 64 tokens (all layers, keys and values), how many contexts hold each, a free list, and the
// page table of every context. All tables are sized when the pool is made; taking, sharing and giving back pages
// allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/region.h"
#include "kernels/packed.h"

namespace hotaru {

class KvPool {
 public:
  static constexpr int kMaxContexts = 64;
  static constexpr int kPageTokens = hotaru::kPageTokens;

  // `page_count` pages of `page_bytes`; their memory is touched only when used.
  static Result<KvPool> create(size_t page_bytes, int page_count);

  Result<int> create_context();  // kNoMemory when all kMaxContexts slots are taken
  void destroy_context(int context);
  // Positions [first, tokens) lie in pages that this context alone holds: missing ones are taken, shared ones copied.
  // kNoMemory: no page is left; what was held stays.
  Result<void> reserve(int context, int first, int tokens);
  // `to`, which holds nothing, begins with the pages of positions [0, tokens) of `from`.
  void share(int from, int to, int tokens);
  void truncate(int context, int tokens);
  void read_page(int context, int page, std::span<std::byte> bytes) const;
  void write_page(int context, int page, std::span<const std::byte> bytes);

  [[nodiscard]] bool is_open(int context) const;
  [[nodiscard]] int reserved_tokens(int context) const;
  // Whether the page of this position may be written: reserved, and no other context holds it.
  [[nodiscard]] bool owns(int context, int position) const;
  [[nodiscard]] int capacity_tokens() const;
  [[nodiscard]] int free_pages() const { return static_cast<int>(free_.size()); }
  // Page p of the context holds positions 64 p .. 64 p + 63.
  [[nodiscard]] std::byte* const* pages(int context) const;

 private:
  struct Context {
    bool is_open = false;
    std::vector<std::byte*> pages;  // capacity: every page of the pool
  };

  [[nodiscard]] size_t page_number(const std::byte* page) const;
  Result<std::byte*> take_page(int tokens);
  void drop_page(std::byte* page);
  [[nodiscard]] std::byte* page_at(int context, int page) const;

  Region memory_;
  size_t page_bytes_ = 0;
  std::vector<std::byte*> free_;     // a stack
  std::vector<int32_t> references_;  // [page_count] contexts that hold the page
  std::vector<Context> contexts_;
};

}  // namespace hotaru
