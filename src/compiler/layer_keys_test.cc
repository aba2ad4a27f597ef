// Which form of keys the optimiser chooses, and that a layer's record holds it.
#include <gmock/gmock.h>

#include "compiler/toy_optimisation.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

class LayerKeys : public testing::Test {
 protected:
  // The first layer's keys get a bias of `size` on one pair of every head.
  static void set_key_bias(ToyOptimisation& toy, size_t pair, double size) {
    const Block block = *match_block(toy.graph, 0);
    Parameter& bias = toy.graph.parameters[static_cast<size_t>(block.k->bias)];
    bias.source.clear();
    bias.values.assign(static_cast<size_t>(bias.columns), 0.1);
    for (size_t i = pair; i < bias.values.size(); i += static_cast<size_t>(block.attention->head_width)) {
      bias.values[i] = size;
    }
  }
  static void run_layer(ToyOptimisation& toy, const std::string& record = "") {
    const auto streams = toy.embed();
    Progress progress("quantise", 0, "thousand weights");
    LayerQuantiser quantiser(&toy.context, streams.get(), &progress);
    LayerRecorder recorder(&toy.context, 0);
    const auto done = quantiser.run(0);
    ASSERT_TRUE(done.ok()) << done.error().message;
    if (record.empty()) return;
    ASSERT_TRUE(recorder.write(record).ok());
  }
  static std::string notes(const ToyOptimisation& toy) {
    std::string all;
    for (const std::string& note : toy.report.notes) all += note + "\n";
    return all;
  }

  static constexpr size_t kMediumPair = 2;  // 0.1 a token
  static constexpr size_t kSlowPair = 7;
  ToyFolder folder_{"layer_keys"};
};

TEST_F(LayerKeys, ABiasThatRotatesIsSplitOff) {
  ToyOptimisation toy(folder_.file("a.har"));
  set_key_bias(toy, kMediumPair, 60);
  run_layer(toy);
  const Block block = *match_block(toy.graph, 0);
  EXPECT_EQ(block.k->bias, kNone);
  ASSERT_NE(block.attention->key_bias, kNone);
  EXPECT_GT(block.attention->key_bias_reach, 0);
  EXPECT_NE(toy.context.stored[static_cast<size_t>(block.attention->key_bias)].values, -1);
  EXPECT_LT(toy.graph.values[static_cast<size_t>(block.attention->inputs[1])].ranges[0].scale * 255, 30);
  EXPECT_THAT(notes(toy), HasSubstr("layer 0: keys are split from their bias"));
  EXPECT_TRUE(verify(toy.graph).ok());
}

TEST_F(LayerKeys, ASlowOneIsShifted) {
  ToyOptimisation toy(folder_.file("a.har"));
  set_key_bias(toy, kSlowPair, 200);
  run_layer(toy);
  const Block block = *match_block(toy.graph, 0);
  EXPECT_NE(block.attention->key_shift, kNone);
  EXPECT_EQ(block.attention->key_bias, kNone);
  EXPECT_THAT(notes(toy), HasSubstr("keys are shifted"));
}

TEST_F(LayerKeys, ASmallOneStays) {
  ToyOptimisation toy(folder_.file("a.har"));
  set_key_bias(toy, kMediumPair, 0.1);
  run_layer(toy);
  const Block block = *match_block(toy.graph, 0);
  EXPECT_NE(block.k->bias, kNone);
  EXPECT_EQ(block.attention->key_bias, kNone);
  EXPECT_TRUE(toy.report.warnings.empty());
}

TEST_F(LayerKeys, LeavingTheSplitOutWarns) {
  ToyOptimisation toy(folder_.file("a.har"));
  set_key_bias(toy, kMediumPair, 60);
  toy.context.skip = {"split-key-bias"};
  run_layer(toy);
  EXPECT_NE(match_block(toy.graph, 0)->k->bias, kNone);
  ASSERT_EQ(toy.report.warnings.size(), 1U);
  EXPECT_THAT(toy.report.warnings[0], HasSubstr("split-key-bias is left out"));
}

TEST_F(LayerKeys, ARecordHoldsTheSplit) {
  ToyOptimisation original(folder_.file("a.har"));
  set_key_bias(original, kMediumPair, 60);
  run_layer(original, folder_.file("layer"));
  ToyOptimisation copy(folder_.file("b.har"));
  set_key_bias(copy, kMediumPair, 60);
  const auto replayed = replay_layer(folder_.file("layer"), 0, copy.context);
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  EXPECT_GT(match_block(copy.graph, 0)->attention->key_bias_reach, 0);
  EXPECT_EQ(copy.state(), original.state());
  EXPECT_EQ(copy.finish(), original.finish());
}

}  // namespace
}  // namespace hotaru
