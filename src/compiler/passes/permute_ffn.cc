#include <algorithm>
#include <numeric>

#include "compiler/block.h"
#include "compiler/passes/linear_basis.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

// Channels by falling power.
std::vector<double> order_of(const std::vector<double>& power) {
  std::vector<size_t> order(power.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&power](size_t a, size_t b) { return power[a] > power[b]; });
  return {order.begin(), order.end()};
}

}  // namespace

Result<void> permute_ffn(PassContext& context) {
  TRY(want_observed(context));
  Graph& graph = *context.graph;
  for (int layer = 0; layer < graph.shape.layers; layer++) {
    TRY_ASSIGN(const Block block, match_block(graph, layer));
    ChannelStatistics& input = context.observed[static_cast<size_t>(block.swiglu->output)];
    Rewrite rows;
    rows.kind = RewriteKind::kPermuteRows;
    rows.pass = "permute-ffn";
    rows.values = order_of(input.power);
    Rewrite columns = rows;
    columns.kind = RewriteKind::kPermuteColumns;
    rewrite_outputs(graph, *block.gate, rows);
    rewrite_outputs(graph, *block.up, rows);
    rewrite_inputs(graph, *block.down, columns);
    input.permute(rows.values);
  }
  return {};
}

}  // namespace hotaru
