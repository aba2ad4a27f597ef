// What each channel of a value did over the calibration set: what the scaling and sorting passes decide by.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hotaru {

// All [width]; empty where nothing was observed.
struct ChannelStatistics {
  std::vector<double> lowest, highest;
  std::vector<double> mean, power;  // of x and x^2
  // Geometric mean, over runs of 64 tokens, of the largest |x|: one token that is unlike all others (a sink) hardly
  // moves it.
  std::vector<double> typical_peak;

  // Follow a rewrite of the channels: x[c] *= factors[c] (> 0); x'[c] = x[order[c]].
  void scale(std::span<const double> factors);
  void permute(std::span<const double> order);
};

class ChannelObserver {
 public:
  explicit ChannelObserver(size_t width);

  // [tokens, width]
  void add(std::span<const float> rows);
  [[nodiscard]] ChannelStatistics statistics() const;

 private:
  void add_run(std::span<const float> rows);

  size_t width_;
  std::vector<double> lowest_, highest_, sum_, squares_, log_peaks_;
  std::vector<double> run_peak_;
  int64_t tokens_ = 0;
  int64_t runs_ = 0;
};

}  // namespace hotaru
