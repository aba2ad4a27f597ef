#include <algorithm>
#include <cmath>

#include "compiler/block.h"
#include "compiler/passes/balance.h"
#include "compiler/passes/linear_basis.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// Rotary pairs (j, j + E/2) of one layer. A scale belongs to a pair of a kv head and is shared by the query heads of
// its group; with q and k norms, whose gammas all heads share, to a pair of all heads.
struct Pairs {
  size_t half = 0;   // E/2
  size_t group = 1;  // query heads of a kv head
  size_t kv_heads = 1;
  bool is_shared = false;

  [[nodiscard]] size_t count() const { return (is_shared ? 1 : kv_heads) * half; }
  [[nodiscard]] size_t of_key(size_t channel) const {
    return (is_shared ? 0 : channel / (2 * half) * half) + channel % half;
  }
  [[nodiscard]] size_t of_query(size_t channel) const {
    return (is_shared ? 0 : channel / (2 * half) / group * half) + channel % half;
  }
};

// By pair. Keys are centred: attention ignores what is the same in every key, and key_shift takes it away.
struct PairSizes {
  std::vector<double> key_reach, key_power;      // half the distance of the extremes; sum of variances
  std::vector<double> query_reach, query_power;  // largest |x|; sum of mean squares
};

PairSizes sizes_of(const Pairs& pairs, const ChannelStatistics& query, const ChannelStatistics& key) {
  const std::vector<double> zeros(pairs.count());
  PairSizes sizes{zeros, zeros, zeros, zeros};
  for (size_t c = 0; c < key.power.size(); c++) {
    const size_t pair = pairs.of_key(c);
    sizes.key_reach[pair] = std::max(sizes.key_reach[pair], (key.highest[c] - key.lowest[c]) / 2);
    // Once for each query head that meets this key.
    const double variance = std::max(0.0, key.power[c] - key.mean[c] * key.mean[c]);
    sizes.key_power[pair] += variance * static_cast<double>(pairs.group);
  }
  for (size_t c = 0; c < query.power.size(); c++) {
    const size_t pair = pairs.of_query(c);
    const double reach = std::max(std::fabs(query.lowest[c]), std::fabs(query.highest[c]));
    sizes.query_reach[pair] = std::max(sizes.query_reach[pair], reach);
    sizes.query_power[pair] += query.power[c];
  }
  return sizes;
}

// Variance of the scores' error, up to a factor, with one step for all keys (255 steps over both signs) and one for all
// queries (127 a sign): E (q dk)^2 + E (dq k)^2.
double score_error(const PairSizes& sizes, std::span<const double> scales) {
  double key_reach = 0;
  double query_reach = 0;
  double key_power = 0;
  double query_power = 0;
  for (size_t pair = 0; pair < scales.size(); pair++) {
    const double s = scales[pair];
    key_reach = std::max(key_reach, sizes.key_reach[pair] * s);
    query_reach = std::max(query_reach, sizes.query_reach[pair] / s);
    key_power += sizes.key_power[pair] * s * s;
    query_power += sizes.query_power[pair] / (s * s);
  }
  const double key_step = key_reach / 127.5;
  const double query_step = query_reach / 127;
  return key_step * key_step * query_power + query_step * query_step * key_power;
}

Rewrite scale_rewrite(RewriteKind kind, std::vector<double> values) {
  Rewrite rewrite;
  rewrite.kind = kind;
  rewrite.pass = "scale-query-key";
  rewrite.values = std::move(values);
  return rewrite;
}

// Into the linear's rows, or into the norm behind it: a norm would undo a scale of its input.
void scale_projection(Graph& graph, const Node& linear, const Node* norm, std::vector<double> factors) {
  if (norm == nullptr) {
    rewrite_outputs(graph, linear, scale_rewrite(RewriteKind::kScaleRows, std::move(factors)));
    return;
  }
  factors.resize(static_cast<size_t>(norm->head_width));  // the same in every head
  add_rewrite(graph, norm->weight, scale_rewrite(RewriteKind::kScaleColumns, std::move(factors)));
}

// Returns the error's ratio, after to before.
Result<double> scale_layer(PassContext& context, int layer) {
  Graph& graph = *context.graph;
  TRY_ASSIGN(const Block block, match_block(graph, layer));
  const Node& attention = *block.attention;
  if ((block.q_norm == nullptr) != (block.k_norm == nullptr)) {
    return not_supported("layer {}: queries and keys are not both normed", layer);
  }
  ChannelStatistics& query = context.observed[static_cast<size_t>(attention.inputs[0])];
  ChannelStatistics& key = context.observed[static_cast<size_t>(attention.inputs[1])];
  const Pairs pairs{static_cast<size_t>(attention.head_width) / 2,
                    static_cast<size_t>(attention.heads / attention.kv_heads), static_cast<size_t>(attention.kv_heads),
                    block.k_norm != nullptr};
  const PairSizes sizes = sizes_of(pairs, query, key);
  const Balance chosen = balance(sizes.query_reach, sizes.key_reach,
                                 [&sizes](std::span<const double> scales) { return score_error(sizes, scales); });
  std::vector<double> key_factors(key.power.size());
  std::vector<double> query_factors(query.power.size());
  for (size_t c = 0; c < key_factors.size(); c++) key_factors[c] = chosen.scales[pairs.of_key(c)];
  for (size_t c = 0; c < query_factors.size(); c++) query_factors[c] = 1 / chosen.scales[pairs.of_query(c)];
  key.scale(key_factors);
  query.scale(query_factors);
  scale_projection(graph, *block.k, block.k_norm, std::move(key_factors));
  scale_projection(graph, *block.q, block.q_norm, std::move(query_factors));
  return chosen.cost_without > 0 ? chosen.cost / chosen.cost_without : 1;
}

}  // namespace

Result<void> scale_query_key(PassContext& context) { return balance_layers(context, "attention scores", scale_layer); }

}  // namespace hotaru
