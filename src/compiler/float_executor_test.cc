// The float executor against Hugging Face transformers (tests/data/reference, float32): every probe of every model.
#include "compiler/float_executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "base/file.h"
#include "compiler/float_weights.h"
#include "model/checkpoint.h"

namespace hotaru {
namespace {

namespace fs = std::filesystem;

// What the repository does not ship lies in HOTARU_SHARED, or beside the source folder.
std::string model_directory(const std::string& name) {
  const fs::path root = HOTARU_SOURCE_DIR;
  const char* named = std::getenv("HOTARU_SHARED");
  const fs::path shared = named == nullptr ? root / ".." / "shared" : fs::path(named);
  for (const fs::path& folder :
       {root / "models", root / "tests/data/models", shared / "models", shared / "data/models"}) {
    if (fs::exists(folder / name / "config.json")) return (folder / name).string();
  }
  return "";
}

struct Loaded {
  Checkpoint checkpoint;
  Graph graph;
};

Loaded load(const std::string& directory) {
  auto checkpoint = Checkpoint::open(directory);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  auto graph = build_graph(*checkpoint);
  EXPECT_TRUE(graph.ok()) << graph.error().message;
  return {std::move(*checkpoint), std::move(*graph)};
}

using Logits = std::vector<std::vector<float>>;

Logits logits_of(FloatExecutor& executor, const Graph& graph, const std::vector<int32_t>& ids) {
  Logits rows;
  const auto played = float_logits(executor, graph, ids, [&rows](int64_t token, std::span<const float> row) {
    EXPECT_EQ(token, static_cast<int64_t>(rows.size()));
    rows.emplace_back(row.begin(), row.end());
  });
  EXPECT_TRUE(played.ok()) << played.error().message;
  return rows;
}

double log_probability(const std::vector<float>& logits, int32_t id) {
  const float maximum = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - static_cast<double>(maximum));
  return static_cast<double>(logits[static_cast<size_t>(id)]) - static_cast<double>(maximum) - std::log(sum);
}

int32_t largest(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

class Reference : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string directory = model_directory(GetParam());
    if (directory.empty())
      GTEST_SKIP() << "no checkpoint '" << GetParam() << "': not shipped with the source, set HOTARU_SHARED";
    loaded_ = load(directory);
    const auto text = read_text_file(std::string(HOTARU_SOURCE_DIR) + "/tests/data/reference/" + GetParam() + ".json");
    ASSERT_TRUE(text.ok()) << text.error().message;
    probes_ = Json::parse(*text)["probes"];
    ASSERT_FALSE(probes_.empty());
  }
  Loaded loaded_;
  Json probes_;
  ThreadPool pool_{2};
};

TEST_P(Reference, LogitsAreTransformers) {
  const ParameterSource source(&loaded_.graph, &loaded_.checkpoint.tensors);
  FloatExecutor executor(&loaded_.graph, &source, &pool_);
  for (const Json& probe : probes_) {
    const auto ids = probe["ids"].get<std::vector<int32_t>>();
    SCOPED_TRACE(ids.size());
    const Logits logits = logits_of(executor, loaded_.graph, ids);
    ASSERT_EQ(logits.size(), ids.size());
    const std::vector<float>& last = logits.back();
    const auto top_ids = probe["top_ids"].get<std::vector<int32_t>>();
    const auto top = probe["top_logits"].get<std::vector<double>>();
    double most = 0;
    for (const float logit : last) most = std::max(most, std::fabs(static_cast<double>(logit)));
    const double tolerance = 1e-3 * most;
    for (size_t i = 0; i < top.size(); i++) EXPECT_NEAR(last[static_cast<size_t>(top_ids[i])], top[i], tolerance);
    EXPECT_EQ(largest(last), top_ids[0]);
    const auto head = probe["last_logits_head"].get<std::vector<double>>();
    for (size_t i = 0; i < head.size(); i++) EXPECT_NEAR(last[i], head[i], tolerance) << i;
    const double norm = std::sqrt(std::inner_product(last.begin(), last.end(), last.begin(), 0.0));
    EXPECT_NEAR(norm, probe["last_logits_norm"].get<double>(), 1e-3 * norm);
    double sum = 0;
    for (size_t i = 0; i + 1 < ids.size(); i++) sum += log_probability(logits[i], ids[i + 1]);
    EXPECT_NEAR(sum, probe["sum_log_prob"].get<double>(), 1e-4 * static_cast<double>(ids.size())) << "sum of log p";
  }
}

TEST_P(Reference, GreedyContinuationIsTransformers) {
  const ParameterSource source(&loaded_.graph, &loaded_.checkpoint.tensors);
  FloatExecutor executor(&loaded_.graph, &source, &pool_);
  for (const Json& probe : probes_) {
    auto ids = probe["ids"].get<std::vector<int32_t>>();
    const auto greedy = probe["greedy"].get<std::vector<int32_t>>();
    const size_t prompt = ids.size();
    ids.insert(ids.end(), greedy.begin(), greedy.end() - 1);
    const Logits logits = logits_of(executor, loaded_.graph, ids);
    for (size_t i = 0; i < greedy.size(); i++) {
      EXPECT_EQ(largest(logits[prompt - 1 + i]), greedy[i]) << "prompt of " << prompt << ", token " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Reference,
                         ::testing::Values("demo", "tinystories-656k", "random-llama3", "random-mistral",
                                           "random-qwen2-odd", "random-qwen3"),
                         [](const auto& model) {
                           std::string name = model.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class Mistral : public ::testing::Test {
 protected:
  Loaded loaded_ = load(model_directory("random-mistral"));
  std::vector<int32_t> ids_ = [] {
    std::vector<int32_t> ids(300);
    for (size_t i = 0; i < ids.size(); i++) ids[i] = static_cast<int32_t>(i * 37 % 777);
    return ids;
  }();

  Logits play(const Graph& graph, int threads, size_t cache_bytes) {
    ThreadPool pool(threads);
    const ParameterSource source(&graph, &loaded_.checkpoint.tensors);
    FloatExecutor executor(&graph, &source, &pool, cache_bytes);
    return logits_of(executor, graph, ids_);
  }
};

TEST_F(Mistral, SameBitsOnAnyNumberOfThreadsAndWithoutCache) {
  const Logits one = play(loaded_.graph, 1, size_t{1} << 30);
  EXPECT_EQ(play(loaded_.graph, 2, size_t{1} << 30), one);
  EXPECT_EQ(play(loaded_.graph, 3, 0), one);
}

TEST_F(Mistral, WeightsThatDoNotFitAreGivenBack) {
  const ParameterSource source(&loaded_.graph, &loaded_.checkpoint.tensors);
  for (const bool keeps_all : {false, true}) {
    FloatWeights weights(&loaded_.graph, &source, keeps_all ? size_t{1} << 30 : 0);
    ASSERT_TRUE(weights.load(loaded_.graph.nodes).ok());
    const size_t held = weights.held_bytes();
    EXPECT_GT(held, size_t{1} << 20);
    weights.release();
    EXPECT_EQ(weights.held_bytes(), keeps_all ? held : 0U);
  }
}

// Gammas folded into the linears that follow (as the first exact rewrite does) leave the logits as they are.
TEST_F(Mistral, FoldedNormsChangeNothing) {
  const ParameterSource source(&loaded_.graph, &loaded_.checkpoint.tensors);
  Graph folded = loaded_.graph;
  for (Node& norm : folded.nodes) {
    if (norm.kind != NodeKind::kRmsNorm) continue;
    const auto gamma = source.materialise_double(norm.weight);
    ASSERT_TRUE(gamma.ok());
    for (const Node& linear : folded.nodes) {
      if (linear.kind != NodeKind::kLinear || linear.inputs[0] != norm.output) continue;
      folded.parameters[static_cast<size_t>(linear.weight)].rewrites.push_back(
          {.kind = RewriteKind::kScaleColumns, .pass = "fold-norms", .values = *gamma});
    }
    norm.weight = kNone;
  }
  ASSERT_TRUE(verify(folded).ok());
  const Logits before = play(loaded_.graph, 2, size_t{1} << 30);
  const Logits after = play(folded, 2, size_t{1} << 30);
  float most = 0;
  float difference = 0;
  for (size_t t = 0; t < before.size(); t++) {
    for (size_t i = 0; i < before[t].size(); i++) {
      most = std::max(most, std::fabs(before[t][i]));
      difference = std::max(difference, std::fabs(before[t][i] - after[t][i]));
    }
  }
  EXPECT_LE(difference, 1e-4F * most);
  EXPECT_GT(difference, 0);  // it is another computation
}

// A batch gives each segment what it gets alone, and observers see every row in order.
TEST_F(Mistral, SegmentsOfABatchAreIndependent) {
  ThreadPool pool(2);
  const ParameterSource source(&loaded_.graph, &loaded_.checkpoint.tensors);
  FloatExecutor executor(&loaded_.graph, &source, &pool);
  SegmentBatch batch;
  for (int repeat = 0; repeat < 3; repeat++) batch.ids.insert(batch.ids.end(), ids_.begin(), ids_.begin() + 100);
  batch.lengths = {100, 60, 140};
  ASSERT_TRUE(executor.begin(batch).ok());
  size_t keys_seen = 0;
  for (int layer = 0; layer < loaded_.graph.shape.layers; layer++) {
    const auto run = executor.run_layer(layer, [&](ValueId value, std::span<const float> rows) {
      if (loaded_.graph.values[static_cast<size_t>(value)].name == "layers.1.k_rope") keys_seen += rows.size();
    });
    ASSERT_TRUE(run.ok()) << run.error().message;
  }
  EXPECT_EQ(keys_seen, 300U * 32U);
  Logits rows;
  ASSERT_TRUE(
      executor.finish([&](int64_t, std::span<const float> row) { rows.emplace_back(row.begin(), row.end()); }).ok());
  ASSERT_EQ(rows.size(), 300U);
  const Logits alone = logits_of(executor, loaded_.graph, {batch.ids.begin() + 100, batch.ids.begin() + 160});
  for (size_t i = 0; i < alone[59].size(); i++) EXPECT_NEAR(rows[159][i], alone[59][i], 1e-4) << i;
}

// Endings behind one context: its tokens once, and only the endings' logits.
TEST_F(Mistral, SegmentsThatShareABeginningAreAsIfPlayedAlone) {
  ThreadPool pool(2);
  const ParameterSource source(&loaded_.graph, &loaded_.checkpoint.tensors);
  FloatExecutor executor(&loaded_.graph, &source, &pool);
  std::vector<int32_t> context(150);
  std::iota(context.begin(), context.end(), 5);
  const std::vector<std::vector<int32_t>> endings = {{7, 8, 9}, {1, 2}, {3}, {4, 5, 6, 7}};
  SegmentBatch batch;
  for (int repeat = 0; repeat < 2; repeat++) {
    batch.ids.insert(batch.ids.end(), context.begin(), context.end());
    for (size_t i = 0; i < endings.size(); i++) {
      batch.ids.insert(batch.ids.end(), endings[i].begin(), endings[i].end());
      const int64_t own = std::ssize(endings[i]);
      batch.lengths.push_back(i == 0 ? own + 150 : own);
      batch.shared.push_back(i == 0 ? 0 : 150);
      batch.shown_from.push_back(i == 0 ? 149 : 0);
    }
  }
  ASSERT_TRUE(executor.begin(batch).ok());
  for (int layer = 0; layer < loaded_.graph.shape.layers; layer++) ASSERT_TRUE(executor.run_layer(layer).ok());
  Logits shown;
  ASSERT_TRUE(
      executor.finish([&shown](int64_t, std::span<const float> row) { shown.emplace_back(row.begin(), row.end()); })
          .ok());
  size_t next = 0;
  for (int repeat = 0; repeat < 2; repeat++) {
    for (size_t i = 0; i < endings.size(); i++) {
      std::vector<int32_t> ids = context;
      ids.insert(ids.end(), endings[i].begin(), endings[i].end());
      const Logits alone = logits_of(executor, loaded_.graph, ids);
      for (size_t position = i == 0 ? 149 : 150; position < ids.size(); position++, next++) {
        ASSERT_LT(next, shown.size());
        double worst = 0;
        for (size_t v = 0; v < alone[position].size(); v++) {
          worst = std::max(worst, static_cast<double>(std::fabs(alone[position][v] - shown[next][v])));
        }
        EXPECT_LT(worst, 1e-4) << i << ", " << position;
      }
    }
  }
  EXPECT_EQ(next, shown.size());
}

TEST_F(Mistral, RefusesWhatDoesNotFit) {
  ThreadPool pool(1);
  const ParameterSource source(&loaded_.graph, &loaded_.checkpoint.tensors);
  FloatExecutor executor(&loaded_.graph, &source, &pool);
  const auto beyond = executor.begin({{1, 777}, {2}});
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().message, "token 1: got id 777, want [0, 777)");
  EXPECT_FALSE(executor.begin({{-1}, {1}}).ok());
  const auto long_one = executor.begin({std::vector<int32_t>(513), {513}});
  ASSERT_FALSE(long_one.ok());
  EXPECT_EQ(long_one.error().message, "segment 0: got 513 tokens, want [1, 512]");
}

}  // namespace
}  // namespace hotaru
