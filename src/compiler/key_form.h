// In what form a layer's keys are cached (QUANTISATION 3), judged by what rounding them does to attention.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace hotaru {

// Extremes of queries and keys over the calibration tokens, and some of the rows themselves, before they are rounded.
struct KeyStatistics {
  std::vector<float> lowest, highest;  // of each key channel [G*E]
  float query_reach = 0;               // largest |q|
  std::vector<int64_t> lengths;        // of the segments in `query` and `key`
  std::vector<float> query;            // [T, H*E]
  std::vector<float> key;              // [T, G*E]

  explicit KeyStatistics(size_t width);
  void add_keys(std::span<const float> rows);
  void add_queries(std::span<const float> rows);
  [[nodiscard]] float reach() const;
  // Range left when each channel's midrange is taken away.
  [[nodiscard]] float centred_reach() const;
  [[nodiscard]] std::vector<float> midrange() const;
};

struct KeyHeads {
  size_t heads, kv_heads, head_width;
};

// The mean divergence (KL, in nats) of softmax over a row's keys that 8-bit queries and 8-bit keys, less `shift`
// (empty: nothing), bring about. `whole`: the same tokens' keys with their bias; what they have beyond keys.key is
// added to scores as it is. Every so many rows count.
double attention_divergence(const KeyStatistics& keys, const std::vector<float>& whole, std::span<const float> shift,
                            const KeyHeads& heads);

}  // namespace hotaru
