#include <gmock/gmock.h>

#include <algorithm>

#include "compiler/passes/passes.h"
#include "compiler/toy_optimisation.h"

namespace hotaru {
namespace {

// Segments of 48 and 16 tokens; what is seen is what FloatExecutor plays, without each segment's first token.
TEST(Observe, LeavesFirstTokensOut) {
  ToyFolder folder("observe");
  ToyOptimisation toy(folder.file("toy.har"));
  ASSERT_TRUE(observe(toy.context).ok());
  FloatExecutor executor(&toy.graph, toy.context.parameters, toy.context.pool);
  ASSERT_TRUE(executor.begin(toy.calibration.batch).ok());
  int values = 0;
  const auto compare = [&](ValueId id, std::span<const float> rows) {
    const ChannelStatistics& seen = toy.context.observed[static_cast<size_t>(id)];
    if (seen.power.empty()) return;
    values++;
    const size_t width = seen.power.size();
    for (size_t c = 0; c < width; c++) {
      float highest = -INFINITY;
      float first = -INFINITY;
      for (size_t token = 0; token < 64; token++) {
        float& peak = token == 0 || token == 48 ? first : highest;
        peak = std::max(peak, rows[token * width + c]);
      }
      ASSERT_EQ(seen.highest[c], static_cast<double>(highest)) << toy.graph.values[static_cast<size_t>(id)].name;
    }
  };
  for (int layer = 0; layer < 2; layer++) ASSERT_TRUE(executor.run_layer(layer, compare).ok());
  EXPECT_EQ(values, 8);  // queries, keys, values and down's input of two layers
}

}  // namespace
}  // namespace hotaru
