// What of a HEF stays in memory once a device has it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/json.h"
#include "base/resident_bytes.h"
#include "compiler/synthetic.h"
#include "device/device.h"

namespace hotaru {
namespace {

constexpr int64_t kVocabulary = 16384;
constexpr int64_t kWidth = 512;
constexpr int64_t kTableBytes = kVocabulary * kWidth;

class Resident : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("hotaru_resident_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    const Json config = {{"model_type", "llama"},
                         {"architectures", {"LlamaForCausalLM"}},
                         {"hidden_act", "silu"},
                         {"hidden_size", kWidth},
                         {"intermediate_size", kWidth},
                         {"num_hidden_layers", 1},
                         {"num_attention_heads", 4},
                         {"num_key_value_heads", 2},
                         {"max_position_embeddings", 128},
                         {"vocab_size", kVocabulary},
                         {"rms_norm_eps", 1e-5},
                         {"rope_theta", 10000.0},
                         {"tie_word_embeddings", GetParam()}};
    std::ofstream(folder_ / "config.json") << config.dump();
    const auto written = write_synthetic_hef((folder_ / "config.json").string(), {}, hef_path());
    ASSERT_TRUE(written) << written.error().message;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string hef_path() const { return (folder_ / "toy.hef").string(); }

  std::filesystem::path folder_;
};

// Opening reads the whole file, for its checksums; a token reads one row of the embedding and all of the output layer.
TEST_P(Resident, TheEmbeddingIsNotUnlessItIsTheOutputLayer) {
  const int64_t before = resident_file_bytes();
  const auto device = Device::open(hef_path(), {});
  ASSERT_TRUE(device) << device.error().message;
  const int64_t resident = resident_file_bytes() - before;
  const auto size = static_cast<int64_t>(std::filesystem::file_size(hef_path()));
  const bool is_tied = GetParam();
  EXPECT_GT(size, is_tied ? kTableBytes : 2 * kTableBytes);
  EXPECT_LT(resident, (is_tied ? size : size - kTableBytes) + kTableBytes / 4);
  EXPECT_GT(resident, (is_tied ? size : size - kTableBytes) - kTableBytes / 4);
}

INSTANTIATE_TEST_SUITE_P(TiedOrNot, Resident, testing::Bool(),
                         [](const auto& test) { return std::string(test.param ? "Tied" : "Untied"); });

}  // namespace
}  // namespace hotaru
