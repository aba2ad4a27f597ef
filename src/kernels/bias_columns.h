// Columns for split keys (attention.h): cosines and sines of all positions as 15-bit codes, made when a program is
// loaded, once for all layers that rotate alike. Only float steps of numerics.h over rope_table.h: the same bits
// everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hotaru {

// A rope table: cosine and sine [positions, E/2].
struct RotaryAngles {
  size_t positions;
  size_t half;  // E/2
  const float* cosine;
  const float* sine;
};

inline constexpr float kMostColumnCode = 32767.0F;

// C[s, e] = round_half_even(clamp(x * scale[e] + offset[e], 0, 32767)), x = cosine[s, e], from e = E/2 on sine[s, e -
// E/2]: requantise_clamp. A column that hardly changes has small steps: what is the same at all positions changes no
// probability.
struct BiasColumnCodes {
  std::vector<float> scale;   // [E]; 0: the column is one number
  std::vector<float> offset;  // [E]
};
// Codes 1 .. 32767 over what each column takes on.
BiasColumnCodes choose_column_codes(const RotaryAngles& angles);

// A bias [G, E] as rope takes it, [2, G, E]: over the scale of the cosines' codes, then of the sines'.
std::vector<float> bias_terms(const std::vector<float>& bias, const BiasColumnCodes& codes);

constexpr size_t bias_columns_bytes(size_t pages, size_t head_width) { return pages * 2 * 64 * head_width; }
// The first `prefix_tokens` positions into prefix [P, E], the others into pages (AttentionKeyBias::columns), zeros
// behind the last.
struct BiasColumns {
  std::vector<int16_t> prefix;
  std::vector<uint8_t> pages;
};
struct ColumnCodeVectors {
  const float* scale;   // [E]
  const float* offset;  // [E]
};
BiasColumns make_bias_columns(const RotaryAngles& angles, const ColumnCodeVectors& codes, size_t prefix_tokens);

}  // namespace hotaru
