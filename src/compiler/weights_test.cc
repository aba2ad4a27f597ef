#include "compiler/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace hotaru {
namespace {

Parameter parameter(std::string name, int64_t rows, int64_t columns) {
  Parameter made;
  made.name = std::move(name);
  made.rows = rows;
  made.columns = columns;
  return made;
}

TEST(Weights, ConstantsAreRewrittenInOrder) {
  Graph graph;
  Parameter matrix = parameter("w.weight", 2, 3);
  matrix.values = {1, 2, 3, 4, 5, 6};
  matrix.rewrites = {{.kind = RewriteKind::kScaleColumns, .pass = "a", .values = {1, 10, 100}},
                     {.kind = RewriteKind::kScaleRows, .pass = "b", .values = {1, -1}}};
  const ParameterId id = graph.add_parameter(std::move(matrix));
  const ParameterSource source(&graph, uint64_t{0});
  const auto all = source.materialise(id);
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_EQ(*all, (std::vector<float>{1, 20, 300, -4, -50, -600}));
  const auto last = source.materialise_rows(id, {1, 2});
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(*last, (std::vector<float>{-4, -50, -600}));
  const auto exact = source.materialise_double(id);
  ASSERT_TRUE(exact.ok());
  EXPECT_EQ(*exact, (std::vector<double>{1, 20, 300, -4, -50, -600}));
}

TEST(Weights, LargeMatricesAreRewrittenBlockByBlock) {
  Graph graph;
  const ParameterId plain = graph.add_parameter(parameter("w.weight", 3000, 700));
  const ParameterSource source(&graph, uint64_t{5});
  const auto before = source.materialise(plain);
  std::vector<double> factors(3000);
  std::iota(factors.begin(), factors.end(), 1.0);
  graph.parameters[0].rewrites = {{.kind = RewriteKind::kScaleRows, .pass = "p", .values = factors}};
  const auto after = source.materialise(plain);
  ASSERT_TRUE(before.ok() && after.ok());
  for (const size_t row : {0U, 1497U, 1498U, 2999U}) {
    for (const size_t column : {0U, 699U}) {
      const size_t i = row * 700 + column;
      EXPECT_EQ((*after)[i], static_cast<float>(static_cast<double>((*before)[i]) * factors[row])) << row;
    }
  }
}

TEST(Weights, SyntheticOnesHaveATrainedModelsSize) {
  Graph graph;
  const ParameterId matrix = graph.add_parameter(parameter("layers.0.q.weight", 200, 400));
  const ParameterId gamma = graph.add_parameter(parameter("layers.0.norm1.weight", 1, 4));
  const ParameterId bias = graph.add_parameter(parameter("layers.0.q.bias", 1, 4));
  const ParameterSource source(&graph, uint64_t{7});
  const auto weights = source.materialise(matrix);
  ASSERT_TRUE(weights.ok());
  double squares = 0;
  for (const float weight : *weights) squares += static_cast<double>(weight) * weight;
  EXPECT_NEAR(squares / static_cast<double>(weights->size()) * 400, 1, 0.03);
  EXPECT_EQ(*source.materialise(gamma), (std::vector<float>{1, 1, 1, 1}));
  EXPECT_EQ(*source.materialise(bias), (std::vector<float>{0, 0, 0, 0}));
  const auto row = source.materialise_rows(matrix, {150, 151});
  ASSERT_TRUE(row.ok());
  EXPECT_TRUE(std::equal(row->begin(), row->end(), weights->begin() + 150 * 400));
  const ParameterSource other(&graph, uint64_t{8});
  EXPECT_NE(*other.materialise(matrix), *weights);
}

TEST(Weights, UnsupportedRewriteIsNamed) {
  Graph graph;
  Parameter matrix = parameter("w.weight", 1, 2);
  matrix.values = {1, 2};
  matrix.rewrites = {{.kind = RewriteKind::kRotateColumns, .pass = "rotate", .values = {}}};
  const ParameterId id = graph.add_parameter(std::move(matrix));
  const auto refused = ParameterSource(&graph, uint64_t{0}).materialise(id);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kNotSupported);
  EXPECT_NE(refused.error().message.find("'w.weight'"), std::string::npos);
}

}  // namespace
}  // namespace hotaru
