// How work is shared out.
#pragma once

#include <cstddef>

namespace hotaru {

// One share of some work: part `index` of `count`.
struct Slice {
  int index = 0;
  int count = 1;

  // The half-open range of this part of `items` things, in contiguous, nearly equal parts.
  struct Range {
    size_t begin;
    size_t end;
  };
  [[nodiscard]] constexpr Range range(size_t items) const {
    const auto part = static_cast<size_t>(index);
    const auto parts = static_cast<size_t>(count);
    return {items * part / parts, items * (part + 1) / parts};
  }
};

}  // namespace hotaru
