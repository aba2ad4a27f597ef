// From a checkpoint through HAR and HEF to the device. Rounding weights to 4 bits costs random models much (cosine of
// logits about 0.95); the device against the float model of the same rounded weights shows that nothing is wired
// wrongly.
#include "cli/toy_model.h"

namespace hotaru {
namespace {

class Accuracy : public testing::Test {
 protected:
  void SetUp() override {
    set_verbosity(Verbosity::kQuiet);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void expect_close(const std::string& directory) const;
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_accuracy_" + std::to_string(::getpid()));
};

void Accuracy::expect_close(const std::string& directory) const {
  const std::string har_path = (folder_ / "a.har").string();
  compile_model(directory, har_path, (folder_ / "a.hef").string());

  const auto checkpoint = Checkpoint::open(directory);
  const auto graph = build_graph(*checkpoint);
  const auto har = HarFile::open(har_path);
  ASSERT_TRUE(har.ok()) << har.error().message;
  const auto stored = load_model(*har);
  ASSERT_TRUE(stored.ok()) << stored.error().message;
  const auto twin = dequantised_graph(*stored);
  ASSERT_TRUE(twin.ok());

  const Logits played = device_logits_of((folder_ / "a.hef").string());
  const Logits with_stored_weights = float_logits_of(*twin, nullptr);
  EXPECT_GT(lowest_cosine(with_stored_weights, played), 0.995);
  EXPECT_GT(lowest_cosine(float_logits_of(*graph, &checkpoint->tensors), played), 0.8);
}

std::string shipped(const char* model) { return std::string(HOTARU_SOURCE_DIR) + "/tests/data/models/" + model; }

TEST_F(Accuracy, Mistral) { expect_close(shipped("random-mistral")); }
TEST_F(Accuracy, Llama3) { expect_close(shipped("random-llama3")); }

TEST_F(Accuracy, Qwen2WithBiasesAndTiedEmbeddings) {
  write_checkpoint("Qwen2ForCausalLM", "qwen2", folder_ / "qwen2");
  expect_close((folder_ / "qwen2").string());
}

TEST_F(Accuracy, Qwen3WithHeadNorms) {
  write_checkpoint("Qwen3ForCausalLM", "qwen3", folder_ / "qwen3");
  expect_close((folder_ / "qwen3").string());
}

}  // namespace
}  // namespace hotaru
