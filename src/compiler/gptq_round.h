// One group of one row under GPTQ: rounds its columns in order, each making up for those before, with all 16
// multipliers side by side, and keeps the multiplier of least loss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hotaru {

inline constexpr size_t kMostGroup = 128;

// A group's part of a unit factor, transposed: feedback[j * width + i] = U_ij for i < j.
struct GroupFactor {
  size_t width = 0;
  std::vector<float> feedback;  // [width, width]
  std::vector<float> pivot;     // [width]
};
GroupFactor take_group(const float* unit, size_t stride, const float* pivot, size_t width);

struct GroupTarget {
  const float* weights;  // [width] errors are against these
  const float* drift;    // [width] what errors outside the group add to them
  float scale;           // of the row
};
struct GroupChoice {
  uint8_t multiplier = 0;
  float loss = 0;  // sum_j pivot_j (weights_j + drift_j + sum_{i<j} e_i U_ij - scale m q_j)^2
};
// codes [width], errors [width] e_j = weights_j - scale m q_j.
GroupChoice round_group(const GroupFactor& factor, const GroupTarget& target, float* codes, float* errors);

}  // namespace hotaru
