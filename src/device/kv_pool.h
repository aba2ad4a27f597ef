// The KV cache: pages of 64 tokens (all layers, keys and values), a free list, and the page table of every context.
// All tables are sized when the pool is made; taking and giving back pages allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "device/region.h"

namespace hotaru {

class KvPool {
 public:
  static constexpr int kMaxContexts = 64;

  // `page_count` pages of `page_bytes`; their memory is touched only when used.
  static Result<KvPool> create(size_t page_bytes, int page_count);

  Result<int> create_context();  // kNoMemory when all kMaxContexts slots are taken
  void destroy_context(int context);
  Result<void> reserve(int context, int tokens);
  void truncate(int context, int tokens);

  [[nodiscard]] bool is_open(int context) const;
  [[nodiscard]] int reserved_tokens(int context) const;
  [[nodiscard]] int capacity_tokens() const;
  // Page p of the context holds positions 64 p .. 64 p + 63.
  [[nodiscard]] std::byte* const* pages(int context) const;

 private:
  struct Context {
    bool is_open = false;
    std::vector<std::byte*> pages;  // capacity: every page of the pool
  };

  Region memory_;
  std::vector<std::byte*> free_;  // a stack
  int page_count_ = 0;
  std::vector<Context> contexts_;
};

}  // namespace hotaru
