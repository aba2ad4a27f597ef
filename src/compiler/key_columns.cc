#include "compiler/key_columns.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/rope_table.h"

namespace hotaru {

KeyColumns make_key_columns(std::span<const double> frequency, double attention_factor, int64_t max_positions) {
  KeyColumns columns;
  columns.half = frequency.size();
  columns.positions = static_cast<size_t>(std::clamp<int64_t>(max_positions, 1, kMaxAttentionContext));
  columns.cosine.resize(columns.positions * columns.half);
  columns.sine.resize(columns.positions * columns.half);
  fill_rope_table({columns.positions, frequency, attention_factor}, columns.cosine.data(), columns.sine.data());
  columns.codes = choose_column_codes(columns.angles());
  return columns;
}

float largest_coefficient(std::span<const float> query, std::span<const float> terms, const HeadCounts& counts) {
  const auto [heads, kv_heads, width] = counts;
  const size_t half = width / 2;
  float largest = 0;
  for (size_t first = 0; first < query.size(); first += width) {
    const size_t g = first / width % heads / (heads / kv_heads);
    const float* y = query.data() + first;
    const float* cosine = terms.data() + g * width;
    const float* sine = cosine + kv_heads * width;
    for (size_t j = 0; j < half; j++) {
      const float a = y[j] * cosine[j] + y[j + half] * cosine[j + half];
      const float b = y[j + half] * sine[j] - y[j] * sine[j + half];
      largest = std::max({largest, std::fabs(a), std::fabs(b)});
    }
  }
  return largest;
}

}  // namespace hotaru
