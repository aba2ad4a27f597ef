// Loops over 16 lanes of fixed count: the compiler turns them into whatever vectors the target has, with the same
// result.
#include "compiler/float_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace hotaru {
namespace {

constexpr size_t kLanes = 16;

float tree_sum(float* lanes) {
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

// e^x to 2e-7: x = n ln 2 + r, e^r by its Taylor polynomial. Below -87 the result would be denormal: 0.
inline float exp_lane(float x) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  const float clamped = std::min(std::max(x, -87.0F), 88.0F);
  const float shifted = clamped * 1.44269502F + kRound;
  const float n = shifted - kRound;
  const float r = clamped - n * kLn2High - n * kLn2Low;
  float p = 1.0F / 5040.0F;
  p = p * r + 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const int32_t exponent = (std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound)) * (1 << 23);
  const float value = std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent);
  return x < -87.0F ? 0.0F : value;
}

}  // namespace

void for_each_task(ThreadPool& pool, size_t count, const std::function<void(size_t task, int thread)>& task) {
  std::atomic<size_t> next{0};
  pool.run([&](Slice slice) {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) task(i, slice.index);
  });
}

void rms_norm_row(const RmsNorm& norm, std::span<const float> x, float* y) {
  float lanes[kLanes] = {};
  size_t k = 0;
  for (; k + kLanes <= x.size(); k += kLanes) {
    for (size_t j = 0; j < kLanes; j++) lanes[j] += x[k + j] * x[k + j];
  }
  for (size_t j = 0; k < x.size(); k++, j++) lanes[j] += x[k] * x[k];
  const float scale = 1.0F / std::sqrt(tree_sum(lanes) / static_cast<float>(x.size()) + norm.epsilon);
  for (size_t i = 0; i < x.size(); i++) y[i] = x[i] * scale * (norm.gamma == nullptr ? 1.0F : norm.gamma[i]);
}

void rope_row(const Rotation& rotation, std::span<const float> x, float* y) {
  const size_t half = rotation.head_width / 2;
  for (size_t head = 0; head < x.size(); head += rotation.head_width) {
    const float* low = x.data() + head;
    const float* high = low + half;
    for (size_t j = 0; j < half; j++) {
      y[head + j] = low[j] * rotation.cosine[j] - high[j] * rotation.sine[j];
      y[head + half + j] = high[j] * rotation.cosine[j] + low[j] * rotation.sine[j];
    }
  }
}

void swiglu_row(std::span<const float> gate, std::span<const float> up, float* y) {
  size_t i = 0;
  for (; i + kLanes <= gate.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; j++) y[i + j] = gate[i + j] / (1.0F + exp_lane(-gate[i + j])) * up[i + j];
  }
  for (; i < gate.size(); i++) y[i] = gate[i] / (1.0F + exp_lane(-gate[i])) * up[i];
}

float exponentiate_row(std::span<float> scores, size_t keys) {
  // Up to the next multiple of the lanes: what is not a key counts as minus infinity.
  const size_t padded = std::min(scores.size(), (keys + kLanes - 1) / kLanes * kLanes);
  std::fill(scores.begin() + static_cast<ptrdiff_t>(keys), scores.end(), -std::numeric_limits<float>::infinity());
  float top[kLanes];
  std::fill(top, top + kLanes, scores[0]);
  size_t k = 0;
  for (; k + kLanes <= padded; k += kLanes) {
    for (size_t j = 0; j < kLanes; j++) top[j] = std::max(top[j], scores[k + j]);
  }
  for (; k < padded; k++) top[0] = std::max(top[0], scores[k]);
  const float maximum = *std::max_element(top, top + kLanes);
  float lanes[kLanes] = {};
  for (k = 0; k + kLanes <= padded; k += kLanes) {
    for (size_t j = 0; j < kLanes; j++) {
      scores[k + j] = exp_lane(scores[k + j] - maximum);
      lanes[j] += scores[k + j];
    }
  }
  for (size_t j = 0; k < padded; k++, j++) {
    scores[k] = exp_lane(scores[k] - maximum);
    lanes[j] += scores[k];
  }
  std::fill(scores.begin() + static_cast<ptrdiff_t>(padded), scores.end(), 0.0F);
  return tree_sum(lanes);
}

}  // namespace hotaru
