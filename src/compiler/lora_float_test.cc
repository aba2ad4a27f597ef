// The float model with an adapter is what PEFT computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/file.h"
#include "base/json.h"
#include "compiler/float_executor.h"
#include "model/adapter.h"
#include "model/checkpoint.h"

namespace hotaru {
namespace {

const std::string kSource = HOTARU_SOURCE_DIR;

class PeftReference : public ::testing::TestWithParam<const char*> {};

TEST_P(PeftReference, LogitsAreEqual) {
  const auto checkpoint = Checkpoint::open(kSource + "/models/demo");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  auto graph = build_graph(*checkpoint);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  const auto adapter = open_adapter(kSource + "/tests/data/lora/" + GetParam(), *graph);
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  attach(*graph, adapter->additions);
  const auto sound = verify(*graph);
  ASSERT_TRUE(sound.ok()) << sound.error().message;

  const ParameterSource parameters(&*graph, &checkpoint->tensors);
  ThreadPool pool(1);
  FloatExecutor executor(&*graph, &parameters, &pool);
  const auto text = read_text_file(kSource + "/tests/data/reference/demo-lora.json");
  ASSERT_TRUE(text.ok()) << text.error().message;
  const Json probes = Json::parse(*text)["adapters"][GetParam()]["probes"];
  ASSERT_GT(probes.size(), 2U);
  for (const Json& probe : probes) {
    const auto ids = probe["ids"].get<std::vector<int32_t>>();
    SCOPED_TRACE(ids.size());
    std::vector<float> last;
    const auto played = float_logits(executor, *graph, ids, [&last](int64_t, std::span<const float> logits) {
      last.assign(logits.begin(), logits.end());
    });
    ASSERT_TRUE(played.ok()) << played.error().message;
    const double norm = std::sqrt(std::inner_product(last.begin(), last.end(), last.begin(), 0.0));
    EXPECT_NEAR(norm, probe["last_logits_norm"].get<double>(), 1e-4 * norm);
    const auto top_ids = probe["top_ids"].get<std::vector<int32_t>>();
    const auto top = probe["top_logits"].get<std::vector<double>>();
    for (size_t i = 0; i < top.size(); i++) EXPECT_NEAR(last[static_cast<size_t>(top_ids[i])], top[i], 2e-3) << i;
    const auto head = probe["last_logits_head"].get<std::vector<double>>();
    for (size_t i = 0; i < head.size(); i++) EXPECT_NEAR(last[i], head[i], 2e-3) << i;
  }
}

// holmes: alpha / r on q, v and o; fairytale: rsLoRA on q, k, v, gate and up.
INSTANTIATE_TEST_SUITE_P(Adapters, PeftReference, ::testing::Values("holmes", "fairytale"),
                         [](const auto& adapter) { return std::string(adapter.param); });

}  // namespace
}  // namespace hotaru
