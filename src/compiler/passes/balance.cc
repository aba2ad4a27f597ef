#include "compiler/passes/balance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hotaru {
namespace {

constexpr double kMostScale = 64;
constexpr int kSteps = 4;  // exponents 0, 1/4, ... 1
// Costs are estimates. On a model without outliers scales that promised a quarter less cost 7 % of divergence: what is
// not clearly better stays as it was trained.
constexpr double kWorthIt = 0.5;

struct Exponents {
  double large;
  double small;
};

std::vector<double> scales_of(std::span<const double> large, std::span<const double> small, Exponents exponents) {
  std::vector<double> logarithms(large.size());
  double sum = 0;
  double count = 0;
  for (size_t c = 0; c < large.size(); c++) {
    if (large[c] <= 0 || small[c] <= 0) continue;
    logarithms[c] = exponents.large * std::log(large[c]) - exponents.small * std::log(small[c]);
    sum += logarithms[c];
    count++;
  }
  std::vector<double> scales(large.size(), 1);
  for (size_t c = 0; c < large.size(); c++) {
    if (large[c] <= 0 || small[c] <= 0) continue;
    scales[c] = std::clamp(std::exp(logarithms[c] - sum / count), 1 / kMostScale, kMostScale);
  }
  return scales;
}

}  // namespace

Balance balance(std::span<const double> large, std::span<const double> small,
                const std::function<double(std::span<const double> scales)>& cost) {
  CHECK_EQ(large.size(), small.size());
  Balance best;
  best.scales.assign(large.size(), 1);
  best.cost = best.cost_without = cost(best.scales);
  for (int a = 0; a <= kSteps; a++) {
    for (int b = 0; b <= kSteps; b++) {
      std::vector<double> scales =
          scales_of(large, small, {a / static_cast<double>(kSteps), b / static_cast<double>(kSteps)});
      const double its_cost = cost(scales);
      if (its_cost >= best.cost) continue;
      best.cost = its_cost;
      best.scales = std::move(scales);
    }
  }
  if (best.cost > kWorthIt * best.cost_without)
    return {std::vector<double>(large.size(), 1), best.cost_without, best.cost_without};
  return best;
}

Result<void> balance_layers(PassContext& context, std::string_view product, BalanceLayer balance_layer) {
  TRY(want_observed(context));
  double logarithms = 0;
  for (int layer = 0; layer < context.graph->shape.layers; layer++) {
    TRY_ASSIGN(const double ratio, balance_layer(context, layer));
    logarithms += std::log(ratio);
  }
  const double mean = std::exp(logarithms / static_cast<double>(context.graph->shape.layers));
  context.note = fmt::format("expected error power of {}: {:.3f} of what it was", product, mean);
  return {};
}

}  // namespace hotaru
