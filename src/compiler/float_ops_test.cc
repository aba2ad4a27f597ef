// The float executor's arithmetic against the same formulas in double.
#include "compiler/float_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tensor/random.h"

namespace hotaru {
namespace {

std::vector<float> normals(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = random.next_normal();
  return values;
}

TEST(FloatOps, ExponentiateRow) {
  for (const size_t size : {1U, 2U, 15U, 16U, 17U, 40U, 257U}) {
    for (const size_t keys : {size, (size + 1) / 2}) {
      std::vector<float> scores = normals(size, size);
      for (float& score : scores) score *= 20;
      const std::vector<float> before = scores;
      const float sum = exponentiate_row(scores, keys);
      const float maximum = *std::max_element(before.begin(), before.begin() + static_cast<ptrdiff_t>(keys));
      double want_sum = 0;
      for (size_t i = 0; i < size; i++) {
        const double want = i < keys ? std::exp(static_cast<double>(before[i]) - static_cast<double>(maximum)) : 0.0;
        EXPECT_NEAR(scores[i], want, 1e-6 * want + 1e-37) << i;
        want_sum += want;
      }
      EXPECT_NEAR(sum, want_sum, 1e-6 * want_sum) << size << " " << keys;
    }
  }
}

TEST(FloatOps, Swiglu) {
  std::vector<float> gate = normals(37, 1);
  const std::vector<float> up = normals(37, 2);
  for (size_t i = 0; i < gate.size(); i++) gate[i] *= static_cast<float>(i);
  std::vector<float> y(37);
  swiglu_row(gate, up, y.data());
  for (size_t i = 0; i < y.size(); i++) {
    const double g = gate[i];
    const double want = g / (1 + std::exp(-g)) * up[i];
    EXPECT_NEAR(y[i], want, 1e-6 * std::fabs(want) + 1e-30) << g;
  }
}

TEST(FloatOps, RmsNorm) {
  const std::vector<float> x = normals(45, 3);
  const std::vector<float> gamma = normals(45, 4);
  std::vector<float> y(45);
  rms_norm_row({gamma.data(), 0.5F}, x, y.data());
  double squares = 0;
  for (const float one : x) squares += static_cast<double>(one) * one;
  for (size_t i = 0; i < y.size(); i++) {
    EXPECT_NEAR(y[i], x[i] * gamma[i] / std::sqrt(squares / 45 + 0.5), 1e-6) << i;
  }
}

TEST(FloatOps, LinearIsTheSameOnAnyNumberOfThreads) {
  const size_t rows = 600, n = 1100, k = 70;
  const std::vector<float> x = normals(rows * k, 5), w = normals(n * k, 6), bias = normals(n, 7);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    results.emplace_back(rows * n);
    float_linear(
        pool,
        {.x = x.data(), .w = w.data(), .bias = bias.data(), .y = results.back().data(), .rows = rows, .n = n, .k = k});
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  for (const size_t row : {0U, 255U, 256U, 599U}) {
    for (const size_t column : {0U, 511U, 512U, 1099U}) {
      double want = bias[column];
      for (size_t i = 0; i < k; i++) want += static_cast<double>(x[row * k + i]) * w[column * k + i];
      EXPECT_NEAR(results[0][row * n + column], want, 1e-4);
    }
  }
}

TEST(FloatOps, AttentionIsCausalWithinItsSegment) {
  const size_t heads = 4, kv_heads = 2, width = 16;
  const std::vector<int64_t> lengths = {3, 150, 1};
  const size_t tokens = 154;
  const std::vector<float> q = normals(tokens * heads * width, 8), k = normals(tokens * kv_heads * width, 9),
                           v = normals(tokens * kv_heads * width, 10);
  std::vector<float> y(tokens * heads * width);
  ThreadPool pool(2);
  float_attention(pool,
                  {.query = q.data(),
                   .key = k.data(),
                   .value = v.data(),
                   .output = y.data(),
                   .heads = heads,
                   .kv_heads = kv_heads,
                   .head_width = width},
                  lengths);
  struct Place {
    size_t segment, token, head;
  };
  for (const Place place :
       {Place{0, 0, 1}, Place{0, 2, 3}, Place{3, 3, 0}, Place{3, 131, 2}, Place{3, 152, 3}, Place{153, 153, 1}}) {
    std::vector<double> weights;
    double sum = 0;
    for (size_t key = place.segment; key <= place.token; key++) {
      double score = 0;
      for (size_t i = 0; i < width; i++) {
        score += static_cast<double>(q[(place.token * heads + place.head) * width + i]) *
                 k[(key * kv_heads + place.head / 2) * width + i];
      }
      weights.push_back(std::exp(score / 4));
      sum += weights.back();
    }
    for (size_t i = 0; i < width; i++) {
      double want = 0;
      for (size_t j = 0; j < weights.size(); j++) {
        want += weights[j] / sum * v[((place.segment + j) * kv_heads + place.head / 2) * width + i];
      }
      EXPECT_NEAR(y[(place.token * heads + place.head) * width + i], want, 1e-5) << place.token;
    }
  }
}

}  // namespace
}  // namespace hotaru
