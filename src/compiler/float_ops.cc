// The loops that need it are written in vectors of 4 lanes, four at a time: every target has those, and wider registers
// would give the same results (no sum is reordered).
#include "compiler/float_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace hotaru {
namespace {

constexpr size_t kLanes = 16;
using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));

// 16 lanes, lane j in element j % 4 of part j / 4.
struct Lanes {
  Float4 part[4];
};

Lanes load(const float* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof lanes);
  return lanes;
}
void store(const Lanes& lanes, float* y) { std::memcpy(y, &lanes, sizeof lanes); }

Lanes broadcast(float x) {
  const Float4 four = {x, x, x, x};
  return {{four, four, four, four}};
}

// Up to 16 numbers, the missing ones replaced.
Lanes load_some(const float* x, size_t count, float missing) {
  Lanes lanes = broadcast(missing);
  std::memcpy(&lanes, x, count * sizeof(float));
  return lanes;
}

Float4 select(Int4 mask, Float4 yes, Float4 no) {
  return std::bit_cast<Float4>((mask & std::bit_cast<Int4>(yes)) | (~mask & std::bit_cast<Int4>(no)));
}
Float4 larger(Float4 a, Float4 b) { return select(a > b, a, b); }

float tree_sum(const Lanes& sums) {
  float lanes[kLanes];
  store(sums, lanes);
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

float largest(const Lanes& values) {
  float lanes[kLanes];
  store(values, lanes);
  return *std::max_element(lanes, lanes + kLanes);
}

// e^x to 2e-7: x = n ln 2 + r, e^r by its Taylor polynomial. Below -87 the result would be denormal: 0.
__attribute__((always_inline)) inline Float4 exponential(Float4 x) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  const Float4 zero = {};
  const Int4 is_small = x < zero - 87.0F;
  const Float4 clamped = select(is_small, zero - 87.0F, select(x > zero + 88.0F, zero + 88.0F, x));
  const Float4 shifted = clamped * 1.44269502F + kRound;
  const Float4 n = shifted - kRound;
  const Float4 r = clamped - n * kLn2High - n * kLn2Low;
  Float4 p = zero + 1.0F / 5040.0F;
  for (const float coefficient : {1.0F / 720.0F, 1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F}) {
    p = p * r + coefficient;
  }
  const Int4 exponent = (std::bit_cast<Int4>(shifted) - std::bit_cast<int32_t>(kRound)) * (1 << 23);
  return select(is_small, zero, std::bit_cast<Float4>(std::bit_cast<Int4>(p) + exponent));
}

Lanes swiglu(const Lanes& gate, const Lanes& up) {
  Lanes y;
  for (size_t i = 0; i < 4; i++) y.part[i] = gate.part[i] / (1.0F + exponential(-gate.part[i])) * up.part[i];
  return y;
}

}  // namespace

void for_each_task(ThreadPool& pool, size_t count, const std::function<void(size_t task, int thread)>& task) {
  std::atomic<size_t> next{0};
  pool.run([&](Slice slice) {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) task(i, slice.index);
  });
}

void rms_norm_row(const RmsNorm& norm, std::span<const float> x, float* y) {
  Lanes sums = broadcast(0);
  for (size_t k = 0; k < x.size(); k += kLanes) {
    const Lanes lanes = load_some(x.data() + k, std::min(kLanes, x.size() - k), 0);
    for (size_t i = 0; i < 4; i++) sums.part[i] += lanes.part[i] * lanes.part[i];
  }
  const float scale = 1.0F / std::sqrt(tree_sum(sums) / static_cast<float>(x.size()) + norm.epsilon);
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
  size_t k = 0;
  for (; k + kLanes <= gate.size(); k += kLanes) store(swiglu(load(&gate[k]), load(&up[k])), y + k);
  if (k == gate.size()) return;
  const size_t rest = gate.size() - k;
  const Lanes last = swiglu(load_some(&gate[k], rest, 0), load_some(&up[k], rest, 0));
  std::memcpy(y + k, &last, rest * sizeof(float));
}

float exponentiate_row(std::span<float> scores, size_t keys) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const size_t whole = keys / kLanes * kLanes;
  const Lanes rest = load_some(scores.data() + whole, keys - whole, kNever);
  Lanes top = rest;
  for (size_t k = 0; k < whole; k += kLanes) {
    const Lanes lanes = load(&scores[k]);
    for (size_t i = 0; i < 4; i++) top.part[i] = larger(lanes.part[i], top.part[i]);
  }
  const float maximum = largest(top);
  Lanes sums = broadcast(0);
  const auto exponentiate = [&](Lanes lanes) {
    for (size_t i = 0; i < 4; i++) {
      lanes.part[i] = exponential(lanes.part[i] - maximum);
      sums.part[i] += lanes.part[i];
    }
    return lanes;
  };
  for (size_t k = 0; k < whole; k += kLanes) store(exponentiate(load(&scores[k])), &scores[k]);
  const Lanes last = exponentiate(rest);
  std::memcpy(scores.data() + whole, &last, (keys - whole) * sizeof(float));
  std::fill(scores.begin() + static_cast<ptrdiff_t>(keys), scores.end(), 0.0F);
  return tree_sum(sums);
}

}  // namespace hotaru
