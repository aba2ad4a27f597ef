// What splitting a layer's keys from their bias needs of its rotation (kernels/bias_columns.h): one for all layers that
// rotate alike.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/bias_columns.h"

namespace hotaru {

struct KeyColumns {
  size_t positions = 0;
  size_t half = 0;                  // E/2
  std::vector<float> cosine, sine;  // [positions, E/2]
  BiasColumnCodes codes;

  [[nodiscard]] RotaryAngles angles() const { return {positions, half, cosine.data(), sine.data()}; }
};

// For every position that the model, and attention, can have: whoever opens the file chooses its context.
KeyColumns make_key_columns(std::span<const double> frequency, double attention_factor, int64_t max_positions);

// The largest coefficient that `query` [tokens, H * E] (rotated, not rounded) has against the terms [2, G, E].
struct HeadCounts {
  size_t heads, kv_heads, head_width;
};
float largest_coefficient(std::span<const float> query, std::span<const float> terms, const HeadCounts& counts);

}  // namespace hotaru
