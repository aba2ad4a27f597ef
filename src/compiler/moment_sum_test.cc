#include "compiler/moment_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tensor/random.h"

namespace hotaru {
namespace {

constexpr size_t kTokens = 90;
constexpr size_t kInputs = 544;  // more than one tile
constexpr size_t kErrors = 33;

std::vector<float> random_rows(size_t width, uint64_t seed) {
  Random random(seed);
  std::vector<float> rows(kTokens * width);
  for (float& x : rows) x = random.next_normal();
  return rows;
}

struct Rows {
  std::vector<float> quantised = random_rows(kInputs, 2);
  std::vector<float> error = random_rows(kErrors, 3);
};

// Two chunks, of 60 tokens and of the rest.
MomentSum summed(const Rows& rows, ThreadPool& pool) {
  MomentSum sum(kInputs, kErrors, &pool);
  for (const auto& [begin, end] : {std::pair<size_t, size_t>{0, 60}, {60, kTokens}}) {
    const auto part = [begin = begin, end = end](const std::vector<float>& all, size_t width) {
      return std::span(all).subspan(begin * width, (end - begin) * width);
    };
    sum.add(part(rows.quantised, kInputs), part(rows.error, kErrors));
  }
  sum.finish();
  return sum;
}

// Largest difference from mean_t a[t, i] b[t, j].
double worst(const std::vector<float>& a, const std::vector<float>& b, std::span<const float> moments) {
  const size_t m = a.size() / kTokens;
  const size_t n = b.size() / kTokens;
  EXPECT_EQ(moments.size(), m * n);
  double worst = 0;
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t t = 0; t < kTokens; t++) sum += static_cast<double>(a[t * m + i]) * static_cast<double>(b[t * n + j]);
      worst = std::max(worst, std::fabs(sum / kTokens - static_cast<double>(moments[i * n + j])));
    }
  }
  return worst;
}

TEST(MomentSum, IsWhatADoubleLoopSums) {
  const Rows rows;
  ThreadPool pool(1);
  const MomentSum sum = summed(rows, pool);
  EXPECT_EQ(sum.tokens(), kTokens);
  EXPECT_LT(worst(rows.quantised, rows.quantised, sum.quantised()), 1e-5);
  EXPECT_LT(worst(rows.error, rows.quantised, sum.error()), 1e-5);
}

TEST(MomentSum, DoesNotDependOnThreads) {
  const Rows rows;
  ThreadPool one(1);
  ThreadPool three(3);
  const MomentSum a = summed(rows, one);
  const MomentSum b = summed(rows, three);
  EXPECT_TRUE(std::ranges::equal(a.quantised(), b.quantised()));
  EXPECT_TRUE(std::ranges::equal(a.error(), b.error()));
}

TEST(MomentSum, OfNothingIsNothing) {
  ThreadPool pool(1);
  MomentSum sum(4, 0, &pool);
  sum.finish();
  EXPECT_EQ(sum.tokens(), 0U);
  EXPECT_TRUE(std::ranges::all_of(sum.quantised(), [](float x) { return x == 0; }));
  EXPECT_TRUE(sum.error().empty());
}

}  // namespace
}  // namespace hotaru
