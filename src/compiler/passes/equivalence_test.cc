// The gate of QUANTISATION 1: after every exact rewrite, on every family, the logits are the same to 1e-4 of the
// largest with the float executor and to 1e-9 in double. Broken rewrites must not pass it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/log.h"
#include "compiler/block.h"
#include "compiler/double_logits.h"
#include "compiler/float_executor.h"
#include "compiler/passes/linear_basis.h"
#include "compiler/passes/passes.h"
#include "compiler/pipeline.h"
#include "model/checkpoint.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

constexpr double kDoubleBound = 1e-9;
constexpr double kFloatBound = 1e-4;

struct Family {
  const char* name;
  const char* architecture;
  const char* model_type;
  bool tied;
  Json config;
};

Json sizes(int64_t width, int64_t ffn_width, int layers) {
  return {{"hidden_size", width},
          {"intermediate_size", ffn_width},
          {"num_hidden_layers", layers},
          {"vocab_size", 53},
          {"max_position_embeddings", 64}};
}

Json heads(Json config, int query_heads, int kv_heads, int width) {
  config["num_attention_heads"] = query_heads;
  config["num_key_value_heads"] = kv_heads;
  config["head_dim"] = width;
  return config;
}

Json with_biases(Json config) {
  config["attention_bias"] = true;
  config["mlp_bias"] = true;
  return config;
}

std::vector<Family> all_families() {
  const char* llama = "LlamaForCausalLM";
  const char* qwen2 = "Qwen2ForCausalLM";
  const char* qwen3 = "Qwen3ForCausalLM";
  return {
      {"llama_tied_576", llama, "llama", true, heads(sizes(576, 1536, 1), 9, 3, 64)},
      {"llama_untied", llama, "llama", false, heads(sizes(96, 160, 2), 4, 4, 32)},
      {"llama_all_biases", llama, "llama", false, with_biases(heads(sizes(160, 224, 2), 10, 2, 16))},
      {"llama_all_biases_tied", llama, "llama", true, with_biases(heads(sizes(64, 96, 2), 4, 1, 16))},
      {"mistral_untied", "MistralForCausalLM", "mistral", false, heads(sizes(160, 352, 2), 5, 1, 32)},
      {"mistral_tied", "MistralForCausalLM", "mistral", true, heads(sizes(64, 96, 2), 2, 1, 32)},
      {"qwen2_tied_896_4864", qwen2, "qwen2", true, heads(sizes(896, 4864, 1), 14, 2, 64)},
      {"qwen2_untied", qwen2, "qwen2", false, heads(sizes(96, 160, 3), 6, 2, 16)},
      {"qwen3_tied", qwen3, "qwen3", true, heads(sizes(96, 128, 2), 4, 2, 32)},
      {"qwen3_untied", qwen3, "qwen3", false, heads(sizes(160, 96, 2), 8, 2, 64)},
  };
}

// Constants of a size that shows: matrices with rows of length one, gammas around one and of either sign, biases, those
// of keys far from zero in some channels, and up rows that differ.
void fill(Graph& graph) {
  for (size_t id = 0; id < graph.parameters.size(); id++) {
    Parameter& parameter = graph.parameters[id];
    if (!parameter.values.empty()) continue;
    Random random(11, id);
    const bool is_bias = parameter.name.ends_with(".bias");
    const double size = parameter.rows > 1 ? std::sqrt(3.0 / static_cast<double>(parameter.columns)) : 0.5;
    const double centre = parameter.rows > 1 || is_bias ? 0 : 0.4;
    parameter.values.resize(static_cast<size_t>(parameter.rows * parameter.columns));
    for (double& value : parameter.values) {
      value = centre + size * (2 * static_cast<double>(random.next_uniform()) - 1);
    }
    if (parameter.name.ends_with(".k.bias")) parameter.values[3] = 5;
    if (parameter.name.ends_with(".up.weight")) {
      for (int64_t c = 0; c < parameter.columns; c++)
        parameter.values[static_cast<size_t>(5 * parameter.columns + c)] *= 20;
    }
  }
}

CalibrationSet random_segments(int64_t vocabulary) {
  CalibrationSet set;
  set.batch.lengths = {24, 8};
  Random random(3);
  for (int i = 0; i < 32; i++) {
    set.batch.ids.push_back(static_cast<int32_t>(random.next_below(static_cast<uint32_t>(vocabulary))));
  }
  return set;
}

// A toy model, what it says, and what a pass needs.
class Toy {
 public:
  explicit Toy(const Family& family) {
    set_verbosity(Verbosity::kQuiet);
    Json json = family.config;
    json["architectures"] = {family.architecture};
    json["model_type"] = family.model_type;
    json["tie_word_embeddings"] = family.tied;
    const auto config = parse_model_config(json, "toy");
    EXPECT_TRUE(config.ok()) << config.error().message;
    graph_ = *build_graph(*config, "toy");
    fill(graph_);
    calibration_ = random_segments(graph_.shape.vocabulary);
    context_.graph = &graph_;
    context_.parameters = &parameters_;
    context_.calibration = &calibration_;
    context_.pool = &pool_;
    context_.report = &report_;
    double_before_ = in_double();
    float_before_ = in_float();
  }

  void run(const Pass& pass) {
    const auto done = pass.run(context_);
    ASSERT_TRUE(done.ok()) << pass.name << ": " << done.error().message;
    const auto sound = verify(graph_);
    ASSERT_TRUE(sound.ok()) << pass.name << ": " << sound.error().message;
  }
  void run(std::string_view name) { run(*std::ranges::find(exact_rewrites(), name, &Pass::name)); }
  Result<void> try_run(std::string_view name) {
    return std::ranges::find(exact_rewrites(), name, &Pass::name)->run(context_);
  }

  // Largest change of a logit since the beginning, over the largest logit.
  [[nodiscard]] double double_change() { return change(double_before_, in_double()); }
  [[nodiscard]] double float_change() { return change(float_before_, in_float()); }

  Graph& graph() { return graph_; }
  PassContext& context() { return context_; }
  Node& node(std::string_view name) { return *std::ranges::find(graph_.nodes, name, &Node::name); }
  [[nodiscard]] const Parameter& parameter(ParameterId id) { return graph_.parameters[static_cast<size_t>(id)]; }

 private:
  static double change(const std::vector<double>& before, const std::vector<double>& after) {
    EXPECT_EQ(before.size(), after.size());
    double largest = 0;
    double difference = 0;
    for (size_t i = 0; i < before.size(); i++) {
      largest = std::max(largest, std::fabs(before[i]));
      difference = std::max(difference, std::fabs(before[i] - after[i]));
      if (!std::isfinite(after[i])) difference = std::numeric_limits<double>::infinity();
    }
    return difference / largest;
  }
  std::vector<double> in_double() { return double_logits(graph_, parameters_, ids_); }
  std::vector<double> in_float() {
    FloatExecutor executor(&graph_, &parameters_, &pool_);
    std::vector<double> logits;
    const auto played = float_logits(executor, graph_, ids_, [&logits](int64_t, std::span<const float> row) {
      logits.insert(logits.end(), row.begin(), row.end());
    });
    EXPECT_TRUE(played.ok()) << played.error().message;
    return logits;
  }

  std::vector<int32_t> ids_ = {1, 5, 50, 3, 3, 17, 0, 42};
  ThreadPool pool_{1};
  Graph graph_;
  ParameterSource parameters_{&graph_, uint64_t{5}};
  CalibrationSet calibration_;
  OptimiseReport report_;
  PassContext context_;
  std::vector<double> double_before_;
  std::vector<double> float_before_;
};

class Equivalence : public testing::TestWithParam<Family> {};

TEST_P(Equivalence, HoldsAfterEveryPass) {
  Toy toy(GetParam());
  for (const Pass& pass : exact_rewrites()) {
    toy.run(pass);
    EXPECT_LE(toy.double_change(), kDoubleBound) << pass.name;
    EXPECT_LE(toy.float_change(), kFloatBound) << pass.name;
  }
  // And they did something.
  EXPECT_FALSE(toy.graph().tied_embeddings);
  const std::string text = print(toy.graph());
  EXPECT_THAT(text, testing::Not(HasSubstr("norm1.weight")));
  EXPECT_THAT(text, testing::Not(HasSubstr("v.bias")));
  for (const char* pass : {"fold-norms", "scale-query-key", "scale-up-down", "permute-ffn", "rotate-values"}) {
    EXPECT_THAT(text, HasSubstr(fmt::format("{{{}: ", pass)));
  }
  EXPECT_THAT(text, HasSubstr("embedding.weight [53, " + std::to_string(toy.graph().shape.width) +
                              "] {rotate-residual: rotate columns})"));
}

INSTANTIATE_TEST_SUITE_P(Families, Equivalence, testing::ValuesIn(all_families()),
                         [](const auto& family) { return std::string(family.param.name); });

const Family& qwen2() {
  static const std::vector<Family> families = all_families();
  return *std::ranges::find_if(families, [](const Family& f) { return std::string_view(f.name) == "qwen2_untied"; });
}

const Family& tied_llama() {
  static const std::vector<Family> families = all_families();
  return *std::ranges::find_if(families, [](const Family& f) { return std::string_view(f.name) == "mistral_tied"; });
}

// Passes may be skipped one by one where the rest does not need them.
TEST(ExactRewrites, HoldWithoutFoldingTheValueBias) {
  Toy toy(qwen2());
  for (const Pass& pass : exact_rewrites()) {
    if (pass.name != "fold-value-bias") toy.run(pass);
  }
  EXPECT_LE(toy.double_change(), kDoubleBound);
}

TEST(ExactRewrites, HoldWhenTheValueBiasIsFoldedLast) {
  Toy toy(qwen2());
  for (const Pass& pass : exact_rewrites()) {
    if (pass.name != "fold-value-bias") toy.run(pass);
  }
  toy.run("fold-value-bias");
  EXPECT_LE(toy.double_change(), kDoubleBound);
}

TEST(ExactRewrites, NeedWhatTheyNeed) {
  Toy toy(tied_llama());
  const auto message = [&toy](const char* pass) {
    const auto done = toy.try_run(pass);
    return done.ok() ? "no error" : done.error().message;
  };
  EXPECT_THAT(message("rotate-residual"), HasSubstr("still has its gamma: want the passes untie-head and fold-norms"));
  EXPECT_THAT(message("scale-query-key"), HasSubstr("want the pass 'observe' before"));
  EXPECT_THAT(message("scale-up-down"), HasSubstr("want the pass 'observe' before"));
  EXPECT_THAT(message("permute-ffn"), HasSubstr("want the pass 'observe' before"));
  toy.run("fold-norms");
  toy.node("norm").weight = kNone;
  EXPECT_THAT(message("rotate-residual"), HasSubstr("embedding and head are one parameter"));
}

// The input shift is what o's input has lost, in the basis that it has now: W_o shift is what its bias has gained.
TEST(ExactRewrites, TheInputShiftFollowsItsBasis) {
  Toy toy(qwen2());
  const auto gained = [&toy](size_t n) {
    const Node& o = toy.node("layers.1.o");
    const auto weight = toy.context().parameters->materialise_double(o.weight);
    const auto shift = toy.context().parameters->materialise_double(o.input_shift);
    double sum = 0;
    for (size_t k = 0; k < shift->size(); k++) sum += (*weight)[n * shift->size() + k] * (*shift)[k];
    return sum;
  };
  const auto bias = [&toy](size_t n) {
    return (*toy.context().parameters->materialise_double(toy.node("layers.1.o").bias))[n];
  };
  for (const Pass& pass : exact_rewrites()) {
    toy.run(pass);
    if (toy.node("layers.1.o").bias == kNone) continue;
    for (const size_t n : {0U, 50U}) EXPECT_NEAR(gained(n), bias(n), 1e-12) << pass.name;
  }
  EXPECT_NE(toy.node("layers.1.o").input_shift, kNone);
}

// What the scaling and sorting passes make of the statistics is what would be observed afterwards.
TEST(ExactRewrites, StatisticsAreCarriedAlong) {
  Toy toy(qwen2());
  for (const char* pass : {"untie-head", "fold-norms", "fold-value-bias", "observe"}) toy.run(pass);
  for (const char* pass : {"scale-query-key", "scale-up-down"}) {
    toy.run(pass);
    EXPECT_THAT(toy.context().note, HasSubstr("of what it was"));
  }
  toy.run("permute-ffn");
  const std::vector<ChannelStatistics> carried = toy.context().observed;
  toy.run("observe");
  for (const char* name : {"layers.1.swiglu", "layers.2.q_rope", "layers.2.k_rope"}) {
    const auto value = static_cast<size_t>(toy.node(name).output);
    const ChannelStatistics& now = toy.context().observed[value];
    for (size_t c = 0; c < now.power.size(); c++) {
      ASSERT_NEAR(carried[value].highest[c], now.highest[c], 1e-4 * (1 + std::fabs(now.highest[c]))) << name << c;
      ASSERT_NEAR(carried[value].power[c], now.power[c], 1e-4 * (1 + now.power[c])) << name << c;
    }
  }
  const ChannelStatistics& product = toy.context().observed[static_cast<size_t>(toy.node("layers.1.swiglu").output)];
  EXPECT_TRUE(std::ranges::is_sorted(product.power, std::greater<>(), [](double p) { return std::round(p * 1e3); }));
}

// The test of the test: mistakes that others have made.
Rewrite rotation_of_head(RewriteKind kind) {
  return {.kind = kind, .pass = "wrong", .values = {}, .seed = 2, .order = 1, .block = 16};
}

TEST(EquivalenceGate, CatchesAnUnrotatedValueBias) {
  Toy toy(qwen2());
  add_rewrite(toy.graph(), toy.node("layers.1.v").weight, rotation_of_head(RewriteKind::kRotateRows));
  add_rewrite(toy.graph(), toy.node("layers.1.o").weight, rotation_of_head(RewriteKind::kRotateColumns));
  EXPECT_GT(toy.float_change(), 10 * kFloatBound);
}

TEST(EquivalenceGate, CatchesTheLastGammaInATiedHead) {
  Toy toy(tied_llama());
  Node& norm = toy.node("norm");
  add_rewrite(toy.graph(), toy.node("head").weight,
              {.kind = RewriteKind::kScaleColumns, .pass = "wrong", .values = toy.parameter(norm.weight).values});
  norm.weight = kNone;
  EXPECT_GT(toy.float_change(), 10 * kFloatBound);
}

TEST(EquivalenceGate, CatchesAForgottenRowOfAPair) {
  for (const bool forgets : {false, true}) {
    Toy toy(qwen2());
    std::vector<double> key(32, 1);
    std::vector<double> query(96, 1);
    key[2] = 1.5;
    for (const size_t head : {0U, 1U, 2U}) query[head * 16 + 2] = 1 / 1.5;
    if (!forgets) {
      key[2 + 8] = 1.5;
      for (const size_t head : {0U, 1U, 2U}) query[head * 16 + 2 + 8] = 1 / 1.5;
    }
    rewrite_outputs(toy.graph(), toy.node("layers.0.k"), {.kind = RewriteKind::kScaleRows, .pass = "s", .values = key});
    rewrite_outputs(toy.graph(), toy.node("layers.0.q"),
                    {.kind = RewriteKind::kScaleRows, .pass = "s", .values = query});
    if (forgets) {
      EXPECT_GT(toy.float_change(), 10 * kFloatBound);
    } else {
      EXPECT_LE(toy.double_change(), kDoubleBound);
    }
  }
}

}  // namespace
}  // namespace hotaru
