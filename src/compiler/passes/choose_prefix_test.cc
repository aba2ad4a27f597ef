#include <gmock/gmock.h>

#include "compiler/passes/passes.h"
#include "compiler/toy_optimisation.h"

namespace hotaru {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Every segment begins with token 7, whose embedding is `factor` times what the others are.
class ChoosePrefix : public testing::Test {
 protected:
  void prepare(double factor) {
    auto& ids = toy_.calibration.batch.ids;
    std::ranges::replace(ids, 7, 8);
    ids[0] = ids[48] = 7;
    Parameter& embedding = toy_.graph.parameters[static_cast<size_t>(toy_.graph.nodes[0].weight)];
    Random random(9);
    for (int64_t i = 0; i < embedding.rows * embedding.columns; i++) {
      const double size = i / embedding.columns == 7 ? factor : 1;
      embedding.values.push_back(size * static_cast<double>(random.next_normal()));
    }
    const auto chosen = choose_prefix(toy_.context);
    ASSERT_TRUE(chosen.ok()) << chosen.error().message;
    EXPECT_TRUE(verify(toy_.graph).ok());
  }
  [[nodiscard]] std::vector<double> constants(ParameterId id) const {
    return id == kNone ? std::vector<double>() : toy_.graph.parameters[static_cast<size_t>(id)].values;
  }

  ToyFolder folder_{"choose_prefix"};
  ToyOptimisation toy_{folder_.file("toy.har")};
};

TEST_F(ChoosePrefix, AMassiveFirstTokenBecomesThePrefix) {
  const std::vector<int64_t> lengths = toy_.calibration.batch.lengths;
  prepare(1000);
  EXPECT_THAT(toy_.graph.prefix, ElementsAre(7));
  ASSERT_EQ(toy_.report.notes.size(), 1U);
  EXPECT_THAT(toy_.report.notes[0], HasSubstr("token 7 becomes a constant prefix"));
  for (const Node& node : toy_.graph.nodes) {
    if (node.kind != NodeKind::kAttention) continue;
    EXPECT_EQ(constants(node.prefix_key).size(), 32U) << node.name;  // one token, two heads of 16
    EXPECT_EQ(constants(node.prefix_value).size(), 32U) << node.name;
    EXPECT_NE(constants(node.prefix_key), constants(node.prefix_value));
  }
  // Ranges are measured without it.
  const SegmentBatch& rest = toy_.context.calibration->batch;
  EXPECT_THAT(rest.ids, Not(Contains(7)));
  ASSERT_EQ(rest.lengths.size(), lengths.size());
  for (size_t i = 0; i < lengths.size(); i++) EXPECT_EQ(rest.lengths[i], lengths[i] - 1);
}

TEST_F(ChoosePrefix, AnOrdinaryOneDoesNot) {
  prepare(1);
  EXPECT_TRUE(toy_.graph.prefix.empty());
  EXPECT_TRUE(toy_.report.notes.empty());
  for (const Node& node : toy_.graph.nodes) EXPECT_EQ(node.prefix_key, kNone) << node.name;
}

}  // namespace
}  // namespace hotaru
