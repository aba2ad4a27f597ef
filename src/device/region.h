// Zeroed memory straight from the operating system, page-aligned; resident only where touched.
#pragma once

#include <cstddef>

#include "base/result.h"

namespace hotaru {

class Region {
 public:
  Region() = default;
  // kNoMemory if the system refuses. Zero bytes give an empty region.
  static Result<Region> create(size_t bytes);
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
