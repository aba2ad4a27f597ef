// Codes of one weight row. Two-level int4: w[k] ~ scale * multiplier[k / 32] * code[k], searched for the least weighted
// squared error; int8: w[k] ~ scale * code[k]. Plain binary32 in a written order, so every machine gets the same codes.
#pragma once

#include <cstdint>
#include <span>

namespace hotaru {

// What a row search writes. `codes` [K] in [-8, 7]; `multipliers` [K / 32] in [0, 15]; a row of zeros gets scale 0.
struct Int4Row {
  std::span<int8_t> codes;
  std::span<uint8_t> multipliers;
  float scale = 0;  // its sign is free: the heavier side of the row goes to the codes' longer, negative side
};

// Error: sum_k importance[k] * (w[k] - scale * m * code[k])^2. `group` (32, 64, 128) inputs share a multiplier, which
// is repeated for every 32; importance is empty (all one) or [K], not negative.
struct Int4Search {
  std::span<const float> weights;     // [K], K a multiple of 32
  std::span<const float> importance;  // [K] or empty
  int group = 32;
};
void quantise_row_int4(const Int4Search& search, Int4Row& row);

// Codes in [-127, 127], the largest magnitude on 127; returns the scale (0 for a row of zeros).
float quantise_row_int8(std::span<const float> weights, std::span<int8_t> codes);

// What searching is compared with: every group scaled by its largest magnitude / 7, each scale rounded up to a multiple
// of 1/15 of the row's largest.
void quantise_row_int4_plain(const Int4Search& search, Int4Row& row);

// sum_k (w[k] - scale * m * code[k])^2
double squared_error(std::span<const float> weights, const Int4Row& row);

}  // namespace hotaru
