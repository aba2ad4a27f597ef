// How often a value took which size, and the static 8-bit range that costs least. Bins are half-open intervals of one
// width, a power of two that doubles when a value falls outside: counts are exact and do not depend on the order in
// which values come.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "graph/graph.h"

namespace hotaru {

class Histogram {
 public:
  Histogram();
  // Finite values only (CHECKed). `weights`: how often each counts, one for each channel of rows of channels; empty:
  // once.
  void add(std::span<const float> values, std::span<const uint32_t> weights = {});

  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] float lowest() const { return lowest_; }
  [[nodiscard]] float highest() const { return highest_; }

  // Squared error that a quantiser with `codes` equal steps over [low, high] makes on all values seen: step^2 / 12
  // inside, the distance to the end outside.
  struct Range {
    double low;
    double high;
  };
  [[nodiscard]] double cost(Range range, int codes) const;
  [[nodiscard]] double power() const;  // sum of squares, by bins and with the weights

 private:
  void widen();
  void build_sums() const;
  [[nodiscard]] double bin_centre(size_t bin) const;
  [[nodiscard]] size_t bin_at(double value) const;

  double width_;
  std::vector<uint64_t> bins_;  // bin b holds [(b - kBins / 2) * width, ... + width)
  uint64_t count_ = 0;
  float lowest_ = 0;
  float highest_ = 0;
  // Sums over the bins before b of n, n x and n x^2: made when first asked for, stale after add().
  mutable std::vector<std::array<double, 3>> sums_;
};

// What was chosen, and how it compares with using the whole range.
struct RangeChoice {
  StaticRange range;
  double low = 0;  // real values of the first and last code
  double high = 0;
  double sqnr_db = 0;  // expected, of the choice
};

// u8, real = scale * (code - zero_point), zero inside: the cheapest (low, high) of a grid, down to a twentieth of the
// extremes.
RangeChoice choose_unsigned_range(const Histogram& histogram);
// s8 in [-127, 127] with zero point 0.
RangeChoice choose_symmetric_range(const Histogram& histogram);
// Codes of 8 or 16 bits over all of what was seen.
RangeChoice whole_unsigned_range(const Histogram& histogram, int bits);
// s8 over all of what was seen.
RangeChoice whole_symmetric_range(const Histogram& histogram);

}  // namespace hotaru
