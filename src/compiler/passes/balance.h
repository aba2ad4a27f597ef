// Channel scales s that move size from one factor of a product to the other, chosen by what the product would lose.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "compiler/pass.h"

namespace hotaru {

struct Balance {
  std::vector<double> scales;  // in [1/64, 64], geometric mean about 1
  double cost = 0;             // of `scales`
  double cost_without = 0;     // of ones
};

// s[c] = large[c]^a / small[c]^b with the cheapest exponents of a grid, (0, 0) among them. A channel where either is
// zero keeps its scale; where the best would not halve the cost, all do.
Balance balance(std::span<const double> large, std::span<const double> small,
                const std::function<double(std::span<const double> scales)>& cost);

// Balances one product of a layer and returns its cost as a share of what it was.
using BalanceLayer = Result<double> (*)(PassContext& context, int layer);
// All layers; the pass's note says by how much the error of `product` fell, as the geometric mean.
Result<void> balance_layers(PassContext& context, std::string_view product, BalanceLayer balance_layer);

}  // namespace hotaru
