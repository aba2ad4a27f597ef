// An adapter carried through every exact rewrite does to the rewritten model what it did to the original; one that was
// not carried along does something else.
#include "compiler/lora_transport.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/log.h"
#include "compiler/double_logits.h"
#include "compiler/passes/passes.h"
#include "compiler/pipeline.h"
#include "model/checkpoint.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

struct Family {
  const char* name;
  const char* architecture;
  const char* model_type;
  bool tied;
  bool all_biases;
};

const std::vector<int32_t> kIds = {1, 5, 50, 3, 3, 17, 0, 42};

Graph toy_graph(const Family& family) {
  Json json = Json::parse(R"({"hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 53, "max_position_embeddings": 64})");
  json["architectures"] = {family.architecture};
  json["model_type"] = family.model_type;
  json["tie_word_embeddings"] = family.tied;
  json["head_dim"] = 16;
  if (family.all_biases) json["attention_bias"] = json["mlp_bias"] = true;
  const auto config = parse_model_config(json, "toy");
  EXPECT_TRUE(config.ok()) << config.error().message;
  auto graph = build_graph(*config, "toy");
  EXPECT_TRUE(graph.ok());
  for (size_t id = 0; id < graph->parameters.size(); id++) {
    Parameter& parameter = graph->parameters[id];
    if (!parameter.values.empty()) continue;
    Random random(7, id);
    const double size = parameter.rows > 1 ? 1 / std::sqrt(static_cast<double>(parameter.columns)) : 0.4;
    const double centre = parameter.rows > 1 || parameter.name.ends_with(".bias") ? 0 : 0.6;
    parameter.values.resize(static_cast<size_t>(parameter.rows * parameter.columns));
    for (double& value : parameter.values) value = centre + size * static_cast<double>(random.next_normal());
  }
  return *std::move(graph);
}

// On every linear but the head.
std::vector<LowRank> random_additions(const Graph& graph) {
  std::vector<LowRank> additions;
  Random random(5);
  for (const Node& node : graph.nodes) {
    if (node.kind != NodeKind::kLinear || node.layer == graph.shape.layers) continue;
    const Parameter& weight = graph.parameters[static_cast<size_t>(node.weight)];
    LowRank addition;
    addition.node = node.name;
    addition.rank = 3;
    addition.down.resize(static_cast<size_t>(3 * weight.columns));
    addition.up.resize(static_cast<size_t>(3 * weight.rows));
    const double size = 0.5 / std::sqrt(static_cast<double>(weight.columns));
    for (double& value : addition.down) value = size * static_cast<double>(random.next_normal());
    for (double& value : addition.up) value = 0.3 * static_cast<double>(random.next_normal());
    additions.push_back(std::move(addition));
  }
  return additions;
}

std::vector<double> logits_of(const Graph& graph) {
  const ParameterSource parameters(&graph, nullptr);
  return double_logits(graph, parameters, kIds);
}

std::vector<double> logits_with(Graph graph, const std::vector<LowRank>& additions) {
  attach(graph, additions);
  return logits_of(graph);
}

// All exact rewrites, measured on a few random tokens.
void rewrite(Graph& graph) {
  CalibrationSet calibration;
  calibration.batch.lengths = {24, 8};
  Random random(3);
  for (int i = 0; i < 32; i++) calibration.batch.ids.push_back(static_cast<int32_t>(random.next_below(53)));
  const ParameterSource parameters(&graph, nullptr);
  ThreadPool pool(1);
  OptimiseReport report;
  PassContext context;
  context.graph = &graph;
  context.parameters = &parameters;
  context.calibration = &calibration;
  context.pool = &pool;
  context.report = &report;
  for (const Pass& pass : exact_rewrites()) {
    const auto done = pass.run(context);
    ASSERT_TRUE(done.ok()) << pass.name << ": " << done.error().message;
  }
}

std::vector<LowRank> moved_to(const Graph& graph, const std::vector<LowRank>& additions) {
  const ParameterSource parameters(&graph, nullptr);
  std::vector<LowRank> moved;
  for (const LowRank& addition : additions) {
    const Node& node = *find_linear(graph, addition.node);
    std::vector<double> shift;
    if (node.input_shift != kNone) shift = *parameters.materialise_double(node.input_shift);
    const auto result = transport(graph, addition, shift);
    EXPECT_TRUE(result.ok()) << result.error().message;
    moved.push_back(*result);
  }
  return moved;
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result(a.size());
  std::ranges::transform(a, b, result.begin(), std::minus<>());
  return result;
}

double length(const std::vector<double>& a) {
  double sum = 0;
  for (const double x : a) sum += x * x;
  return std::sqrt(sum);
}

class LoraTransport : public testing::TestWithParam<Family> {};

TEST_P(LoraTransport, KeepsWhatTheAdapterDoes) {
  set_verbosity(Verbosity::kQuiet);
  const Graph original = toy_graph(GetParam());
  Graph rewritten = original;
  rewrite(rewritten);
  const std::vector<LowRank> additions = random_additions(original);
  const std::vector<LowRank> moved = moved_to(rewritten, additions);
  const std::vector<double> base = logits_of(original);
  const std::vector<double> change = difference(logits_with(original, additions), base);
  ASSERT_GT(length(change), 0.1 * length(base));
  const std::vector<double> same = difference(logits_with(rewritten, moved), base);
  EXPECT_LT(length(difference(same, change)), 1e-9 * length(base));
  const std::vector<double> other = difference(logits_with(rewritten, additions), logits_of(rewritten));
  // So few channels leave some likeness to chance; real adapters keep none (tests/lora.sh).
  EXPECT_GT(length(difference(other, change)), 0.9 * length(change));
}

INSTANTIATE_TEST_SUITE_P(Families, LoraTransport,
                         testing::Values(Family{"llama", "LlamaForCausalLM", "llama", false, false},
                                         Family{"llama_biases", "LlamaForCausalLM", "llama", true, true},
                                         Family{"qwen2", "Qwen2ForCausalLM", "qwen2", true, false},
                                         Family{"qwen3", "Qwen3ForCausalLM", "qwen3", true, false}),
                         [](const auto& family) { return std::string(family.param.name); });

// A bias appears only where the input has lost a constant.
TEST(LoraTransport, BiasComesFromTheInputShift) {
  Graph graph = toy_graph({"qwen2", "Qwen2ForCausalLM", "qwen2", true, false});
  rewrite(graph);
  for (const LowRank& moved : moved_to(graph, random_additions(graph))) {
    EXPECT_EQ(moved.bias.empty(), !moved.node.ends_with(".o")) << moved.node;
  }
}

}  // namespace
}  // namespace hotaru
