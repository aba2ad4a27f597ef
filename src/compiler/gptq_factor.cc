#include "compiler/gptq_factor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "compiler/cholesky.h"
#include "compiler/float_ops.h"

namespace hotaru {
namespace {

constexpr double kMostDamping = 1.0;

// Groups by falling sums of the diagonal, columns of a group by falling diagonal: what weighs most is rounded while
// there is still much left to make up for it (act-order, with groups that stay contiguous).
std::vector<uint32_t> processing_order(const std::vector<float>& diagonal, size_t group) {
  const size_t groups = diagonal.size() / group;
  std::vector<float> sums(groups);
  for (size_t g = 0; g < groups; g++) {
    sums[g] = std::accumulate(&diagonal[g * group], &diagonal[g * group] + group, 0.0F);
  }
  std::vector<uint32_t> by_sum(groups);
  std::iota(by_sum.begin(), by_sum.end(), 0U);
  std::stable_sort(by_sum.begin(), by_sum.end(), [&](uint32_t a, uint32_t b) { return sums[a] > sums[b]; });
  std::vector<uint32_t> order;
  for (const uint32_t g : by_sum) {
    const auto first = static_cast<uint32_t>(g * group);
    for (uint32_t k = 0; k < group; k++) order.push_back(first + k);
    std::stable_sort(order.end() - static_cast<ptrdiff_t>(group), order.end(),
                     [&](uint32_t a, uint32_t b) { return diagonal[a] > diagonal[b]; });
  }
  return order;
}

// The damped moments in processing order; only the upper triangle is written.
void gather(std::span<const float> moments, const GptqFactor& factor, std::vector<double>& a, ThreadPool& pool) {
  const size_t n = factor.order.size();
  for_each_task(pool, n, [&](size_t i, int) {
    const size_t row = factor.order[i];
    for (size_t j = i; j < n; j++) a[i * n + j] = static_cast<double>(moments[row * n + factor.order[j]]);
    a[i * n + i] = factor.is_dead[row] ? 1.0 : a[i * n + i] + static_cast<double>(factor.ridge);
  });
}

void take_unit_factor(const std::vector<double>& root, GptqFactor& factor, ThreadPool& pool) {
  const size_t n = factor.order.size();
  factor.unit.resize(n * n);
  factor.pivot.resize(n);
  for_each_task(pool, n, [&](size_t i, int) {
    factor.pivot[i] = static_cast<float>(root[i * n + i] * root[i * n + i]);
    for (size_t j = i + 1; j < n; j++) factor.unit[i * n + j] = static_cast<float>(root[i * n + j] / root[j * n + j]);
  });
}

}  // namespace

Result<GptqFactor> factorise_moments(std::span<const float> moments, int group, double damping, ThreadPool& pool) {
  const auto n = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(moments.size()))));
  CHECK_EQ(n * n, moments.size());
  GptqFactor factor;
  factor.diagonal.resize(n);
  factor.is_dead.resize(n);
  double sum = 0;
  for (size_t k = 0; k < n; k++) {
    const float value = moments[k * n + k];
    factor.diagonal[k] = value;
    factor.is_dead[k] = value == 0;
    factor.dead_columns += value == 0 ? 1 : 0;
    sum += static_cast<double>(value);
  }
  if (!std::isfinite(sum)) return invalid("the inputs' second moments are not finite");
  const size_t live = n - static_cast<size_t>(factor.dead_columns);
  const double mean = live > 0 ? std::fabs(sum) / static_cast<double>(live) : 1.0;
  factor.order = processing_order(factor.diagonal, static_cast<size_t>(group));
  std::vector<double> a(n * n);
  for (factor.damping = damping; factor.damping <= kMostDamping * 1.001; factor.damping *= 10) {
    factor.ridge = static_cast<float>(factor.damping * mean);
    gather(moments, factor, a, pool);
    if (!factorise_upper(a, n, pool)) continue;
    take_unit_factor(a, factor, pool);
    return factor;
  }
  return invalid("the inputs' second moments [{}, {}] cannot be factorised even with {} of their mean added", n, n,
                 kMostDamping);
}

}  // namespace hotaru
