// The gate of QUANTISATION 1: after an exact rewrite the float logits are the same to 1e-4 of the largest.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "compiler/float_executor.h"
#include "compiler/passes/passes.h"
#include "model/checkpoint.h"

namespace hotaru {
namespace {

Graph toy_graph(const char* architecture, const char* model_type, bool tied) {
  Json json = Json::parse(R"({"hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 51,
    "max_position_embeddings": 64})");
  json["architectures"] = {architecture};
  json["model_type"] = model_type;
  json["tie_word_embeddings"] = tied;
  const auto config = parse_model_config(json, "toy");
  EXPECT_TRUE(config.ok()) << config.error().message;
  auto graph = build_graph(*config, "toy");
  EXPECT_TRUE(graph.ok());
  // Gammas far from one, some zero and negative.
  for (const Node& node : graph->nodes) {
    if (node.kind != NodeKind::kRmsNorm && node.kind != NodeKind::kHeadNorm) continue;
    Parameter& gamma = graph->parameters[static_cast<size_t>(node.weight)];
    for (int64_t k = 0; k < gamma.columns; k++) gamma.values.push_back(0.3 * static_cast<double>(k % 11) - 0.6);
  }
  return *std::move(graph);
}

std::vector<float> logits_of(const Graph& graph) {
  const ParameterSource parameters(&graph, uint64_t{5});
  ThreadPool pool(1);
  FloatExecutor executor(&graph, &parameters, &pool);
  std::vector<float> logits;
  const std::vector<int32_t> ids = {1, 5, 50, 3, 3, 17, 0, 42};
  const auto sink = [&logits](int64_t, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
  };
  const auto played = float_logits(executor, graph, ids, sink);
  EXPECT_TRUE(played.ok()) << played.error().message;
  return logits;
}

void fold(Graph& graph) {
  const ParameterSource parameters(&graph, uint64_t{5});
  PassContext context;
  context.graph = &graph;
  context.parameters = &parameters;
  ASSERT_TRUE(fold_norms(context).ok());
  const auto sound = verify(graph);
  ASSERT_TRUE(sound.ok()) << sound.error().message;
}

int gammas_left(const Graph& graph) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes, [](const Node& node) { return node.kind == NodeKind::kRmsNorm && node.weight != kNone; }));
}

void expect_unchanged(const char* architecture, const char* model_type, bool tied) {
  Graph graph = toy_graph(architecture, model_type, tied);
  const std::vector<float> before = logits_of(graph);
  fold(graph);
  EXPECT_EQ(gammas_left(graph), tied ? 1 : 0) << model_type;
  const std::vector<float> after = logits_of(graph);
  ASSERT_EQ(before.size(), after.size());
  float largest = 0;
  for (const float x : before) largest = std::max(largest, std::fabs(x));
  for (size_t i = 0; i < before.size(); i++) ASSERT_NEAR(before[i], after[i], 1e-4F * largest) << model_type << i;
}

TEST(FoldNorms, KeepsLogitsUntied) { expect_unchanged("LlamaForCausalLM", "llama", false); }
// The last gamma must not reach the embedding through the head.
TEST(FoldNorms, KeepsLogitsTied) { expect_unchanged("Qwen2ForCausalLM", "qwen2", true); }
TEST(FoldNorms, KeepsLogitsWithHeadNorms) { expect_unchanged("Qwen3ForCausalLM", "qwen3", false); }

TEST(FoldNorms, TwiceIsOnce) {
  Graph graph = toy_graph("LlamaForCausalLM", "llama", false);
  fold(graph);
  const std::string once = print(graph);
  fold(graph);
  EXPECT_EQ(print(graph), once);
}

}  // namespace
}  // namespace hotaru
