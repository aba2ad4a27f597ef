#include "kernels/bias_columns.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/packed.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

constexpr float kMiddleCode = 16384.0F;
constexpr float kCodesAround = 16383.0F;

float column_value(const RotaryAngles& angles, size_t position, size_t e) {
  const float* values = e < angles.half ? angles.cosine : angles.sine;
  return values[position * angles.half + e % angles.half];
}

}  // namespace

BiasColumnCodes choose_column_codes(const RotaryAngles& angles) {
  CHECK(angles.positions > 0);
  BiasColumnCodes codes;
  for (size_t e = 0; e < 2 * angles.half; e++) {
    float low = column_value(angles, 0, e);
    float high = low;
    for (size_t s = 1; s < angles.positions; s++) {
      low = std::min(low, column_value(angles, s, e));
      high = std::max(high, column_value(angles, s, e));
    }
    // Differences below the cosines' own rounding are none.
    const float reach = (high - low) / 2;
    const float scale = reach > 1e-7F ? kCodesAround / reach : 0.0F;
    codes.scale.push_back(scale);
    codes.offset.push_back(kMiddleCode - (low + high) / 2 * scale);
  }
  return codes;
}

std::vector<float> bias_terms(const std::vector<float>& bias, const BiasColumnCodes& codes) {
  const size_t width = codes.scale.size();
  const size_t half = width / 2;
  std::vector<float> terms;
  for (const size_t first : {size_t{0}, half}) {
    for (size_t i = 0; i < bias.size(); i++) {
      const float scale = codes.scale[first + i % half];
      terms.push_back(scale > 0 ? bias[i] / scale : 0.0F);
    }
  }
  return terms;
}

BiasColumns make_bias_columns(const RotaryAngles& angles, const ColumnCodeVectors& codes, size_t prefix_tokens) {
  const size_t width = 2 * angles.half;
  CHECK_LE(prefix_tokens, angles.positions);
  const size_t pages = (angles.positions - prefix_tokens + kPageTokens - 1) / kPageTokens;
  BiasColumns columns{std::vector<int16_t>(prefix_tokens * width),
                      std::vector<uint8_t>(bias_columns_bytes(pages, width))};
  for (size_t position = 0; position < angles.positions; position++) {
    for (size_t e = 0; e < width; e++) {
      const float x = column_value(angles, position, e);
      const float clamped = requantise_clamp(x, codes.scale[e], codes.offset[e], 0.0F, kMostColumnCode);
      const auto code = static_cast<int32_t>(std::lrintf(clamped));
      if (position < prefix_tokens) {
        columns.prefix[position * width + e] = static_cast<int16_t>(code);
        continue;
      }
      const size_t s = position - prefix_tokens;
      const size_t at = s / kPageTokens * 2 * page_side_bytes(width) + key_page_index(s % kPageTokens, e, width);
      columns.pages[at] = static_cast<uint8_t>(code >> 8);
      columns.pages[at + page_side_bytes(width)] = static_cast<uint8_t>(code & 255);
    }
  }
  return columns;
}

}  // namespace hotaru
