// Cosines and sines of rotary embeddings, made when a program is loaded. Only + - * of doubles, each written out: the
// same bits on every machine, which no libm promises.
#pragma once

#include <cstddef>
#include <span>

namespace hotaru {

struct RopeTableShape {
  size_t positions = 0;                       // S, at most 2^20
  std::span<const double> inverse_frequency;  // [E/2], in [0, 1]
  double attention_factor = 1.0;              // scales both tables (YaRN and longrope have one)
};

// cosine[p, j] = float(attention_factor * cos(double(p) * inverse_frequency[j])), sine likewise.
void fill_rope_table(const RopeTableShape& shape, float* cosine, float* sine);

}  // namespace hotaru
