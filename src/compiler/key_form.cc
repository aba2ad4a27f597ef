#include "compiler/key_form.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hotaru {
namespace {

// One query row in so many is looked at.
constexpr size_t kRowStride = 32;

// The dot product of rows whose width is a multiple of 8.
float dot(const float* a, const float* b, size_t width) {
  float lanes[8] = {};
  for (size_t i = 0; i < width; i += 8) {
    for (size_t j = 0; j < 8; j++) lanes[j] += a[i + j] * b[i + j];
  }
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// Codes of 8 bits over the range that is left without the shift, and back.
std::vector<float> rounded_keys(const KeyStatistics& keys, std::span<const float> shift) {
  const size_t width = keys.lowest.size();
  const auto shift_of = [&shift](size_t channel) { return shift.empty() ? 0.0F : shift[channel]; };
  float low = 0;
  float high = 0;
  for (size_t i = 0; i < width; i++) {
    low = std::min(low, keys.lowest[i] - shift_of(i));
    high = std::max(high, keys.highest[i] - shift_of(i));
  }
  const float step = high > low ? (high - low) / 255 : 1.0F;
  const float zero = std::nearbyint(-low / step);
  std::vector<float> rounded(keys.key.size());
  for (size_t i = 0; i < rounded.size(); i++) {
    const float code = std::nearbyint((keys.key[i] - shift_of(i % width)) / step + zero);
    rounded[i] = (std::clamp(code, 0.0F, 255.0F) - zero) * step;
  }
  return rounded;
}

// KL of softmax(exact) against softmax(found).
double divergence(std::span<const double> exact, std::span<const double> found) {
  const double exact_top = *std::ranges::max_element(exact);
  const double found_top = *std::ranges::max_element(found);
  double exact_sum = 0;
  double found_sum = 0;
  double difference = 0;
  for (size_t s = 0; s < exact.size(); s++) {
    const double p = std::exp(exact[s] - exact_top);
    exact_sum += p;
    found_sum += std::exp(found[s] - found_top);
    difference += p * ((exact[s] - exact_top) - (found[s] - found_top));
  }
  return difference / exact_sum - std::log(exact_sum) + std::log(found_sum);
}

// Scores of one query head's row against the keys of its segment up to it.
class RowScores {
 public:
  RowScores(const KeyStatistics& keys, const std::vector<float>& whole, std::span<const float> shift,
            const KeyHeads& heads)
      : keys_(keys), whole_(whole), rounded_(rounded_keys(keys, shift)), heads_(heads) {
    rest_.resize(whole.size());
    for (size_t i = 0; i < whole.size(); i++) rest_[i] = whole[i] - keys.key[i];
  }

  double divergence_of(size_t segment, size_t row, size_t head) {
    const size_t width = heads_.head_width;
    const size_t kv_width = heads_.kv_heads * width;
    const size_t column = head / (heads_.heads / heads_.kv_heads) * width;
    const float* query = keys_.query.data() + row * heads_.heads * width + head * width;
    std::vector<float> rounded_query(query, query + width);
    const float step = keys_.query_reach > 0 ? keys_.query_reach / 127 : 1.0F;
    for (float& x : rounded_query) x = std::nearbyint(x / step) * step;
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    exact_.clear();
    found_.clear();
    for (size_t s = segment; s <= row; s++) {
      const size_t at = s * kv_width + column;
      exact_.push_back(static_cast<double>(dot(query, whole_.data() + at, width)) * scale);
      const float score = dot(rounded_query.data(), rounded_.data() + at, width) + dot(query, rest_.data() + at, width);
      found_.push_back(static_cast<double>(score) * scale);
    }
    return divergence(exact_, found_);
  }

 private:
  const KeyStatistics& keys_;
  const std::vector<float>& whole_;
  std::vector<float> rounded_, rest_;
  KeyHeads heads_;
  std::vector<double> exact_, found_;
};

}  // namespace

KeyStatistics::KeyStatistics(size_t width)
    : lowest(width, std::numeric_limits<float>::infinity()), highest(width, -std::numeric_limits<float>::infinity()) {}

void KeyStatistics::add_keys(std::span<const float> rows) {
  const size_t width = lowest.size();
  for (size_t i = 0; i < rows.size(); i++) {
    lowest[i % width] = std::min(lowest[i % width], rows[i]);
    highest[i % width] = std::max(highest[i % width], rows[i]);
  }
}

void KeyStatistics::add_queries(std::span<const float> rows) {
  for (const float x : rows) query_reach = std::max(query_reach, std::fabs(x));
}

float KeyStatistics::reach() const { return *std::ranges::max_element(highest) - *std::ranges::min_element(lowest); }

float KeyStatistics::centred_reach() const {
  float reach = 0;
  for (size_t i = 0; i < lowest.size(); i++) reach = std::max(reach, highest[i] - lowest[i]);
  return reach;
}

std::vector<float> KeyStatistics::midrange() const {
  std::vector<float> middle;
  for (size_t i = 0; i < lowest.size(); i++) middle.push_back((lowest[i] + highest[i]) / 2);
  return middle;
}

double attention_divergence(const KeyStatistics& keys, const std::vector<float>& whole, std::span<const float> shift,
                            const KeyHeads& heads) {
  RowScores scores(keys, whole, shift, heads);
  double sum = 0;
  double count = 0;
  size_t segment = 0;
  for (const int64_t length : keys.lengths) {
    const size_t end = segment + static_cast<size_t>(length);
    for (size_t row = segment + std::min(kRowStride, end - segment) - 1; row < end; row += kRowStride) {
      for (size_t head = 0; head < heads.heads; head++, count++) sum += scores.divergence_of(segment, row, head);
    }
    segment = end;
  }
  return count > 0 ? sum / count : 0;
}

}  // namespace hotaru
