#include "compiler/histogram.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hotaru {
namespace {

constexpr size_t kBins = 16384;
constexpr int kHalf = static_cast<int>(kBins / 2);
// The narrowest bins there are; activations below 1e-8 count as zero.
constexpr double kFirstWidth = 0x1p-40;
constexpr int kGrid = 48;  // shares of an extreme tried: 1, 0.98, 0.96, ...
constexpr double kGridStep = 0.02;
constexpr float kSmallestScale = 1e-12F;  // for values that were always zero

double decibels(double signal, double noise) { return noise > 0 && signal > 0 ? 10 * std::log10(signal / noise) : 0; }

StaticRange unsigned_range(double low, double high, double most = 255) {
  const auto scale = std::max(static_cast<float>((high - low) / most), kSmallestScale);
  const double zero = std::nearbyint(-low / static_cast<double>(scale));
  return {scale, static_cast<int>(std::clamp(zero, 0.0, most))};
}

double reach_of(const Histogram& histogram) {
  return std::max(std::fabs(static_cast<double>(histogram.lowest())),
                  std::fabs(static_cast<double>(histogram.highest())));
}

RangeChoice symmetric_range(const Histogram& histogram, double end) {
  const auto scale = std::max(static_cast<float>(end / 127), kSmallestScale);
  return {{scale, 0}, -end, end, decibels(histogram.power(), histogram.cost({-end, end}, 255))};
}

}  // namespace

Histogram::Histogram() : width_(kFirstWidth), bins_(kBins) {}

void Histogram::widen() {
  std::vector<uint64_t> wider(kBins);
  for (int b = -kHalf; b < kHalf; b++) {
    // Arithmetic shift: floor(b / 2), so bins stay aligned to multiples of their width.
    wider[static_cast<size_t>((b >> 1) + kHalf)] += bins_[static_cast<size_t>(b + kHalf)];
  }
  bins_ = std::move(wider);
  width_ *= 2;
}

void Histogram::add(std::span<const float> values, std::span<const uint32_t> weights) {
  if (values.empty()) return;
  sums_.clear();
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  CHECK(std::isfinite(*low) && std::isfinite(*high));
  lowest_ = count_ == 0 ? *low : std::min(lowest_, *low);
  highest_ = count_ == 0 ? *high : std::max(highest_, *high);
  count_ += values.size();
  const double reach = std::max(-static_cast<double>(lowest_), static_cast<double>(highest_));
  while (reach >= width_ * (kHalf - 1)) widen();
  // Scaling by a power of two is exact, in binary32 too.
  const auto inverse = static_cast<float>(1 / width_);
  static constexpr uint32_t kOnce[] = {1};
  if (weights.empty()) weights = kOnce;
  for (size_t row = 0; row < values.size(); row += weights.size()) {
    for (size_t channel = 0; channel < weights.size(); channel++) {
      const float t = values[row + channel] * inverse;
      int b = static_cast<int>(t);
      b -= static_cast<float>(b) > t ? 1 : 0;  // floor; std::floor is a call on plain x86-64
      bins_[static_cast<size_t>(b + kHalf)] += weights[channel];
    }
  }
}

double Histogram::bin_centre(size_t bin) const { return (static_cast<double>(bin) - kHalf + 0.5) * width_; }

size_t Histogram::bin_at(double value) const {
  const double b = std::floor(value / width_) + kHalf;
  return static_cast<size_t>(std::clamp(b, 0.0, static_cast<double>(kBins)));
}

void Histogram::build_sums() const {
  if (!sums_.empty()) return;
  sums_.assign(kBins + 1, {});
  for (size_t b = 0; b < kBins; b++) {
    const auto n = static_cast<double>(bins_[b]);
    const double x = bin_centre(b);
    sums_[b + 1] = {sums_[b][0] + n, sums_[b][1] + n * x, sums_[b][2] + n * x * x};
  }
}

double Histogram::power() const {
  build_sums();
  return sums_[kBins][2];
}

double Histogram::cost(Range range, int codes) const {
  build_sums();
  const auto& below = sums_[bin_at(range.low)];
  const auto& last = sums_[bin_at(range.high)];
  const auto& all = sums_[kBins];
  const double step = (range.high - range.low) / (codes - 1);
  const auto distance = [](double n, double x, double square, double end) {
    return std::max(0.0, square - 2 * end * x + end * end * n);
  };
  return distance(below[0], below[1], below[2], range.low) +
         distance(all[0] - last[0], all[1] - last[1], all[2] - last[2], range.high) +
         (last[0] - below[0]) * step * step / 12;
}

RangeChoice choose_unsigned_range(const Histogram& histogram) {
  const double low = std::min(0.0, static_cast<double>(histogram.lowest()));
  const double high = std::max(0.0, static_cast<double>(histogram.highest()));
  Histogram::Range best{low, high};
  double least = histogram.cost(best, 256);
  for (int i = 0; i < kGrid; i++) {
    for (int j = 0; j < kGrid; j++) {
      const Histogram::Range range{low * (1 - kGridStep * i), high * (1 - kGridStep * j)};
      const double cost = histogram.cost(range, 256);
      if (cost < least) {
        least = cost;
        best = range;
      }
    }
  }
  return {unsigned_range(best.low, best.high), best.low, best.high, decibels(histogram.power(), least)};
}

RangeChoice choose_symmetric_range(const Histogram& histogram) {
  const double reach = reach_of(histogram);
  double best = reach;
  double least = histogram.cost({-reach, reach}, 255);
  for (int i = 1; i < kGrid; i++) {
    const double end = reach * (1 - kGridStep * i);
    const double cost = histogram.cost({-end, end}, 255);
    if (cost < least) {
      least = cost;
      best = end;
    }
  }
  return symmetric_range(histogram, best);
}

RangeChoice whole_unsigned_range(const Histogram& histogram, int bits) {
  const double low = std::min(0.0, static_cast<double>(histogram.lowest()));
  const double high = std::max(0.0, static_cast<double>(histogram.highest()));
  const int codes = 1 << bits;
  return {unsigned_range(low, high, codes - 1), low, high,
          decibels(histogram.power(), histogram.cost({low, high}, codes))};
}

RangeChoice whole_symmetric_range(const Histogram& histogram) {
  return symmetric_range(histogram, reach_of(histogram));
}

}  // namespace hotaru
