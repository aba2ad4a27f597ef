// From a checkpoint to a HAR to a HEF with a small random model; the files' bytes; what goes wrong.
#include "compiler/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/log.h"
#include "compiler/compile.h"
#include "compiler/har_model.h"
#include "format/hef.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

class Pipeline : public testing::Test {
 protected:
  void SetUp() override {
    set_verbosity(Verbosity::kQuiet);
    std::filesystem::create_directories(folder_);
    options_.calibration.samples = 2;
    options_.calibration.sequence = 48;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string read(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }
  Result<OptimiseResult> run(const std::string& har, int threads = 1) const {
    ThreadPool pool(threads);
    return optimise(model_, har, options_, pool);
  }
  [[nodiscard]] std::string error() const {
    const auto result = run(path("x.har"));
    EXPECT_FALSE(std::filesystem::exists(path("x.har")));
    return result.ok() ? "no error" : result.error().message;
  }

  std::string model_ = std::string(HOTARU_SOURCE_DIR) + "/tests/data/models/random-mistral";
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_pipeline_" + std::to_string(::getpid()));
  OptimiseOptions options_;
};

TEST_F(Pipeline, TheSameBytesWhateverTheThreads) {
  ASSERT_TRUE(run(path("1.har"), 1).ok());
  ASSERT_TRUE(run(path("3.har"), 3).ok());
  EXPECT_EQ(read(path("1.har")), read(path("3.har")));
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const auto plan = compile_har(path("1.har"), path(std::to_string(threads) + ".hef"), {}, pool);
    ASSERT_TRUE(plan.ok()) << plan.error().message;
  }
  EXPECT_EQ(read(path("1.hef")), read(path("3.hef")));
  EXPECT_TRUE(HefFile::open(path("1.hef")).ok());
}

TEST_F(Pipeline, TheHarHoldsTheGraphWithItsRanges) {
  const auto result = run(path("a.har"));
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->report.passes.size(), 3U);
  EXPECT_EQ(result->report.matrices.size(), 2U * 7 + 2);
  for (const MatrixReport& matrix : result->report.matrices) EXPECT_GT(matrix.sqnr_db, 20) << matrix.name;
  const auto har = HarFile::open(path("a.har"));
  ASSERT_TRUE(har.ok()) << har.error().message;
  const auto model = load_model(*har);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_THAT(model->graph.passes, testing::ElementsAre("fold-norms", "calibrate", "quantise-rtn"));
  EXPECT_EQ(model->identity.architecture, "MistralForCausalLM");
  EXPECT_EQ(model->identity.source_hash.size(), 64U);
  // Norms, attention and swiglu of two layers, queries, keys and values, the head's input.
  const auto ranged = std::ranges::count_if(model->graph.values, [](const Value& v) { return !v.ranges.empty(); });
  EXPECT_EQ(ranged, 2 * 7 + 1);
  EXPECT_FALSE(har->container().text(SectionType::kTokenizer).has_value());
  EXPECT_TRUE(har->container().text(SectionType::kReport).has_value());
}

TEST_F(Pipeline, ContextIsPlannedAndBounded) {
  ASSERT_TRUE(run(path("a.har")).ok());
  ThreadPool pool(1);
  const auto plan = compile_har(path("a.har"), path("a.hef"), {100}, pool);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  const auto hef = HefFile::open(path("a.hef"));
  ASSERT_TRUE(hef.ok()) << hef.error().message;
  EXPECT_EQ(hef->meta().kv()->pages(), 2U);
  EXPECT_EQ(plan->kv, 2U * 2 * 2 * 32 * 64);  // pages, layers, keys and values, one kv head of 32, 64 tokens
  const auto too_long = compile_har(path("a.har"), path("b.hef"), {513}, pool);
  ASSERT_FALSE(too_long.ok());
  EXPECT_THAT(too_long.error().message, HasSubstr("got 513 tokens, want 1 to 512"));
  EXPECT_FALSE(std::filesystem::exists(path("b.hef")));
}

TEST_F(Pipeline, StopsDumpsAndSkips) {
  options_.stop_after = "fold-norms";
  options_.dumps = {{"fold-norms", path("graph.txt")}};
  const auto stopped = run(path("a.har"));
  ASSERT_TRUE(stopped.ok()) << stopped.error().message;
  EXPECT_FALSE(stopped->wrote_har);
  EXPECT_FALSE(std::filesystem::exists(path("a.har")));
  EXPECT_THAT(read(path("graph.txt")), HasSubstr("{fold-norms: scale columns}"));
  options_.stop_after = "";
  options_.skip = {"calibrate"};
  const auto skipped = run(path("b.har"));
  ASSERT_TRUE(skipped.ok()) << skipped.error().message;
  EXPECT_TRUE(skipped->report.passes[1].is_skipped);
  ThreadPool pool(1);
  const auto compiled = compile_har(path("b.har"), path("b.hef"), {}, pool);
  ASSERT_FALSE(compiled.ok());
  EXPECT_THAT(compiled.error().message, HasSubstr("has no static range"));
}

TEST_F(Pipeline, RefusesByName) {
  options_.recipe = "best";
  EXPECT_THAT(error(), HasSubstr("got 'best', want full, gptq or rtn"));
  options_.recipe = "rtn";
  options_.skip = {"rotate"};
  EXPECT_THAT(error(), HasSubstr("there is no pass 'rotate'; there are: fold-norms, calibrate, quantise-rtn"));
  options_.skip = {"quantise-rtn"};
  EXPECT_THAT(error(), HasSubstr("a HAR needs the pass 'quantise-rtn'"));
  options_.skip = {};
  options_.group = 64;  // 352 inputs of down are 5.5 groups of 64
  EXPECT_THAT(error(), HasSubstr("divisible by the group, 64"));
  options_.group = 32;
  options_.calibration.files = {"some.txt"};
  EXPECT_THAT(error(), HasSubstr("no tokenizer"));
}

TEST_F(Pipeline, AReportSaysWhatWasDone) {
  options_.report_files = {path("report.json"), path("report.txt"), path("report.html")};
  const auto result = run(path("a.har"));
  ASSERT_TRUE(result.ok()) << result.error().message;
  const auto report = parse_json(read(path("report.json")), "report");
  ASSERT_TRUE(report.ok());
  EXPECT_EQ((*report)["layers"].size(), 4U);  // embedding, two blocks, head
  EXPECT_TRUE((*report)["layers"][1]["matrices"][0].contains("seconds"));
  EXPECT_THAT((*report)["warnings"][0].get<std::string>(), HasSubstr("random token ids"));
  for (const MatrixReport& matrix : result->report.matrices) {
    EXPECT_THAT(read(path("report.txt")), HasSubstr(matrix.name));
    EXPECT_THAT(read(path("report.html")), HasSubstr(matrix.name));
  }
  options_.report_files = {path("report.doc")};
  EXPECT_THAT(error(), HasSubstr("--report: got"));
}

}  // namespace
}  // namespace hotaru
