// Zeroed memory straight from the operating system, page-aligned; resident only where touched.
#pragma once

#include <cstddef>

#include "base/result.h"

namespace hotaru {

// kLarge is a wish, for what is read again and again in pieces that lie far apart, or must stay in a cache; what it
// rounds up is resident, too. A kernel without huge pages refuses, and nothing else changes.
enum class RegionPages { kOrdinary, kLarge };

class Region {
 public:
  Region() = default;
  // kNoMemory if the system refuses. Zero bytes give an empty region.
  static Result<Region> create(size_t bytes, RegionPages pages);
  Region(Region&& other) noexcept;
  Region& operator=(Region&& other) noexcept;
  ~Region();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace hotaru
