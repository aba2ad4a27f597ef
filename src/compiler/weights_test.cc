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

// A row of the result needs all rows of the source; one matrix or some rows, the bits are the same.
TEST(Weights, SomeRowsOfAMixedMatrixAreTheWholeOnes) {
  Graph graph;
  const ParameterId id = graph.add_parameter(parameter("w.weight", 24, 16));
  std::vector<double> order(24);
  for (size_t i = 0; i < order.size(); i++) order[i] = static_cast<double>((i * 7 + 3) % 24);
  graph.parameters[0].rewrites = {
      {.kind = RewriteKind::kScaleRows, .pass = "a", .values = std::vector<double>(24, 3)},
      {.kind = RewriteKind::kRotateRows, .pass = "b", .values = {}, .seed = 4, .order = 12, .block = 12},
      {.kind = RewriteKind::kRotateColumns, .pass = "c", .values = {}, .seed = 5, .order = 1, .block = 8},
      {.kind = RewriteKind::kPermuteRows, .pass = "d", .values = order}};
  const ParameterSource source(&graph, uint64_t{5});
  const auto whole = source.materialise(id);
  const auto some = source.materialise_rows(id, {5, 9});
  const auto exact = source.materialise_double(id);
  ASSERT_TRUE(whole.ok() && some.ok() && exact.ok());
  ASSERT_EQ(some->size(), 4U * 16U);
  EXPECT_TRUE(std::equal(some->begin(), some->end(), whole->begin() + 5 * 16));
  for (size_t i = 0; i < whole->size(); i++) EXPECT_EQ((*whole)[i], static_cast<float>((*exact)[i]));
}

TEST(Weights, ARewriteThatDoesNotFitIsNamed) {
  Graph graph;
  Parameter matrix = parameter("w.weight", 1, 3);
  matrix.values = {1, 2, 3};
  matrix.rewrites = {{.kind = RewriteKind::kPermuteColumns, .pass = "sort", .values = {0, 1, 1}}};
  const ParameterId id = graph.add_parameter(std::move(matrix));
  const auto refused = ParameterSource(&graph, uint64_t{0}).materialise(id);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "parameter 'w.weight': rewrite of pass 'sort': got 1 at 2, want a permutation of 3");
}

}  // namespace
}  // namespace hotaru
