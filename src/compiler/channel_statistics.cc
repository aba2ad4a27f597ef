#include "compiler/channel_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace hotaru {
namespace {

constexpr size_t kRunTokens = 64;
// What counts for a run without any signal: its logarithm must exist.
constexpr double kSilence = 1e-12;

void multiply(std::vector<double>& values, std::span<const double> factors) {
  for (size_t c = 0; c < values.size(); c++) values[c] *= factors[c];
}

}  // namespace

void ChannelStatistics::scale(std::span<const double> factors) {
  for (std::vector<double>* values : {&lowest, &highest, &mean, &power, &power, &typical_peak}) {
    multiply(*values, factors);  // the power twice: it is of x^2
  }
}

void ChannelStatistics::permute(std::span<const double> order) {
  for (std::vector<double>* values : {&lowest, &highest, &mean, &power, &typical_peak}) {
    const std::vector<double> before = *values;
    for (size_t c = 0; c < before.size(); c++) (*values)[c] = before[static_cast<size_t>(order[c])];
  }
}

ChannelObserver::ChannelObserver(size_t width)
    : width_(width),
      lowest_(width, std::numeric_limits<double>::infinity()),
      highest_(width, -std::numeric_limits<double>::infinity()),
      sum_(width),
      squares_(width),
      log_peaks_(width) {}

void ChannelObserver::add(std::span<const float> rows) {
  CHECK_EQ(rows.size() % width_, size_t{0});
  for (size_t first = 0; first < rows.size(); first += kRunTokens * width_) {
    add_run(rows.subspan(first, std::min(kRunTokens * width_, rows.size() - first)));
  }
}

void ChannelObserver::add_run(std::span<const float> rows) {
  run_peak_.assign(width_, kSilence);
  for (size_t row = 0; row < rows.size(); row += width_) {
    for (size_t c = 0; c < width_; c++) {
      const auto x = static_cast<double>(rows[row + c]);
      lowest_[c] = std::min(lowest_[c], x);
      highest_[c] = std::max(highest_[c], x);
      sum_[c] += x;
      squares_[c] += x * x;
      run_peak_[c] = std::max(run_peak_[c], std::fabs(x));
    }
  }
  for (size_t c = 0; c < width_; c++) log_peaks_[c] += std::log(run_peak_[c]);
  tokens_ += static_cast<int64_t>(rows.size() / width_);
  runs_++;
}

ChannelStatistics ChannelObserver::statistics() const {
  CHECK_GT(tokens_, 0);
  ChannelStatistics result{lowest_, highest_, sum_, squares_, log_peaks_};
  for (double& mean : result.mean) mean /= static_cast<double>(tokens_);
  for (double& power : result.power) power /= static_cast<double>(tokens_);
  for (double& peak : result.typical_peak) peak = std::exp(peak / static_cast<double>(runs_));
  return result;
}

}  // namespace hotaru
