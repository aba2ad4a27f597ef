// Which form of keys the optimiser chooses, and that a layer's record holds it.
#include <gmock/gmock.h>

#include "compiler/toy_optimisation.h"

namespace hotaru {
namespace {

using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

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
  // The squared error of the device's residual stream behind the first layer, over the exact one's square.
  static double error_behind_layer(ToyOptimisation& toy) {
    const auto streams = toy.embed();
    Progress progress("quantise", 0, "thousand weights");
    LayerQuantiser quantiser(&toy.context, streams.get(), &progress);
    const auto done = quantiser.run(0);
    EXPECT_TRUE(done.ok()) << done.error().message;
    double error = 0;
    double square = 0;
    std::vector<float> exact, device;
    for (const TokenChunk& chunk : streams->chunks) {
      EXPECT_TRUE(streams->exact.read(chunk, exact).ok());
      EXPECT_TRUE(streams->device.read(chunk, device).ok());
      for (size_t i = 0; i < exact.size(); i++) {
        const double x = static_cast<double>(exact[i]);
        const double difference = static_cast<double>(device[i]) - x;
        error += difference * difference;
        square += x * x;
      }
    }
    RecordProperty("error", std::to_string(error / square));
    return error / square;
  }
  static ParameterId add_constant(Graph& graph, const std::string& name, std::vector<double> values) {
    Parameter parameter;
    parameter.name = name;
    parameter.columns = static_cast<int64_t>(values.size());
    parameter.values = std::move(values);
    return graph.add_parameter(std::move(parameter));
  }
  // A prefix token in every layer: its keys are the first layer's key bias, its values like nobody else's.
  static void add_prefix(ToyOptimisation& toy) {
    toy.graph.prefix = {7};
    const Block first = *match_block(toy.graph, 0);
    const std::vector<double> keys = toy.graph.parameters[static_cast<size_t>(first.k->bias)].values;
    for (Node& node : toy.graph.nodes) {
      if (node.kind != NodeKind::kAttention) continue;
      node.prefix_key = add_constant(toy.graph, node.name + ".prefix_key", keys);
      node.prefix_value = add_constant(toy.graph, node.name + ".prefix_value", std::vector<double>(keys.size(), 20));
    }
    toy.context.stored.resize(toy.graph.parameters.size());
    ASSERT_TRUE(verify(toy.graph).ok());
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

// Calibration gives the prefix the weight that the device will: there its keys are shifted with the others.
TEST_F(LayerKeys, AShiftKeepsThePrefixsWeight) {
  ToyOptimisation toy(folder_.file("a.har"));
  set_key_bias(toy, kSlowPair, 200);
  add_prefix(toy);
  EXPECT_LT(error_behind_layer(toy), 0.01);
  EXPECT_THAT(notes(toy), HasSubstr("keys are shifted"));
}

// What all keys lack, softmax does not see: not in whole keys, nor in those without their bias.
TEST_F(LayerKeys, InFloatAShiftChangesNothingBesideAPrefix) {
  ToyOptimisation toy(folder_.file("a.har"));
  set_key_bias(toy, kSlowPair, 5);
  add_prefix(toy);
  const auto streams = toy.embed();
  Stream& stream = streams->exact;
  const Graph::Range range = toy.graph.layer_nodes(0);
  const std::span<const Node> nodes = std::span(toy.graph.nodes).subspan(range.begin, range.end - range.begin);
  ASSERT_TRUE(stream.weights.load(nodes).ok());
  const Block block = *match_block(toy.graph, 0);
  const ValueId key = block.attention->inputs[1];
  const auto width = static_cast<size_t>(toy.graph.values[static_cast<size_t>(key)].width);
  std::vector<float> input;
  ASSERT_TRUE(stream.read(streams->chunks[0], input).ok());
  const auto play = [&](float shift) {
    stream.player.shift_keys(key, std::vector<float>(width, shift));
    const auto output = stream.player.play(nodes, streams->chunks[0], input, {});
    return std::vector<float>(output.begin(), output.end());
  };
  const std::vector<float> wanted = play(0);
  EXPECT_THAT(play(3), Pointwise(FloatNear(1e-3F), wanted));
  const auto node_of = [&toy](const Node* node) -> Node& {
    return toy.graph.nodes[static_cast<size_t>(node - toy.graph.nodes.data())];
  };
  std::swap(node_of(block.k).bias, node_of(block.attention).key_bias);
  EXPECT_THAT(play(0), Pointwise(FloatNear(1e-3F), wanted));
  EXPECT_THAT(play(3), Pointwise(FloatNear(1e-3F), wanted));
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
