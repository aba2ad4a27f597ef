// Key biases of 200 to 400 (Qwen2 has them) from the checkpoint to the device: the slow ones need keys less a vector,
// those that rotate noticeably need keys without their bias (QUANTISATION 3).
#include <gmock/gmock.h>

#include "cli/toy_model.h"
#include "compiler/lora.h"
#include "compiler/print_program.h"
#include "model/adapter.h"

namespace hotaru {
namespace {

class KeyBias : public testing::Test {
 protected:
  void SetUp() override {
    set_verbosity(Verbosity::kQuiet);
    write_checkpoint("Qwen2ForCausalLM", "qwen2", folder_ / "plain");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // The checkpoint with a bias of `size` in every key head's pair (j, j + 24); queries there shrink by `divisor`.
  [[nodiscard]] std::string inject(float size, size_t pair, float divisor) const {
    const std::filesystem::path to = folder_ / "injected";
    std::filesystem::create_directories(to);
    std::filesystem::copy_file(folder_ / "plain/config.json", to / "config.json",
                               std::filesystem::copy_options::overwrite_existing);
    const auto checkpoint = Checkpoint::open((folder_ / "plain").string());
    std::vector<SafetensorsWriter::Entry> entries;
    for (const auto& [name, tensor] : checkpoint->tensors.tensors()) entries.push_back({name, tensor.shape});
    auto writer = SafetensorsWriter::create((to / "model.safetensors").string(), entries);
    for (const auto& [name, tensor] : checkpoint->tensors.tensors()) {
      std::vector<float> values(tensor.bytes.size() / sizeof(float));
      std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
      const size_t columns = tensor.shape.size() > 1 ? static_cast<size_t>(tensor.shape[1]) : 1;
      for (size_t i = 0; i < values.size(); i++) {
        const size_t row = i / columns;
        if (name.find("q_proj") != std::string::npos && row % (kHeadWidth / 2) == pair) values[i] /= divisor;
        if (name.find("k_proj.bias") != std::string::npos && row % kHeadWidth == pair) values[i] += size;
      }
      EXPECT_TRUE(writer->append(values).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    return to.string();
  }

  struct Found {
    double distance = 0;  // of the device from the float model with the same 4-bit weights
    int split = 0;        // layers
    int shifted = 0;
    std::vector<std::string> warnings;  // about keys
    std::string program;                // its text
    std::vector<std::string> features;
  };
  [[nodiscard]] Found optimised(const std::string& checkpoint, std::vector<std::string> skip) const {
    OptimiseOptions options;
    options.recipe = "full";
    options.calibration.samples = 4;
    options.calibration.sequence = 128;
    options.skip = std::move(skip);
    options.skip.emplace_back("scale-query-key");  // it could move the bias into the queries' weights
    const std::string har_path = (folder_ / "a.har").string();
    const std::string hef_path = (folder_ / "a.hef").string();
    ThreadPool pool(1);
    const auto done = optimise(checkpoint, har_path, options, pool);
    EXPECT_TRUE(done.ok()) << done.error().message;
    const auto compiled = compile_har(har_path, hef_path, {}, pool);
    EXPECT_TRUE(compiled.ok()) << compiled.error().message;
    const auto har = HarFile::open(har_path);
    const auto model = load_model(*har);
    Found found;
    std::ranges::copy_if(done->report.warnings, std::back_inserter(found.warnings),
                         [](const std::string& warning) { return warning.find("diverge") != std::string::npos; });
    const auto hef = HefFile::open(hef_path);
    EXPECT_TRUE(hef.ok()) << hef.error().message;
    found.program = print_program(*hef, *hef->find_program("tbt"));
    if (const auto* features = hef->meta().required_features()) {
      for (const auto* name : *features) found.features.push_back(name->str());
    }
    for (const Node& node : model->graph.nodes) {
      found.split += node.key_bias != kNone ? 1 : 0;
      found.shifted += node.key_shift != kNone ? 1 : 0;
    }
    const auto twin = dequantised_graph(*model);
    const Logits played = device_logits_of(hef_path);
    for (const Isa isa : available_isas()) EXPECT_EQ(device_logits_of(hef_path, isa, 2), played) << isa_name(isa);
    found.distance = 1 - lowest_cosine(float_logits_of(*twin, nullptr), played);
    fmt::print("distance {:.5f}, {} layers split, {} shifted\n", found.distance, found.split, found.shifted);
    return found;
  }

  static constexpr size_t kHeadWidth = 48;
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_key_bias_" + std::to_string(::getpid()));
};

TEST_F(KeyBias, ASlowOneIsShiftedAway) {
  const std::string checkpoint = inject(300, 23, 1);
  const Found naive = optimised(checkpoint, {"shift-keys", "split-key-bias"});
  const Found shifted = optimised(checkpoint, {"split-key-bias"});
  EXPECT_EQ(naive.warnings.size(), 2U);
  EXPECT_EQ(shifted.shifted, 2);
  EXPECT_GT(naive.distance, 5 * shifted.distance);
  EXPECT_LT(shifted.distance, 0.005);
  EXPECT_EQ(optimised(checkpoint, {}).split, 0);  // the cheaper form is enough
}

TEST_F(KeyBias, OneThatRotatesIsSplitOff) {
  const std::string checkpoint = inject(300, 6, 40);
  const Found naive = optimised(checkpoint, {"shift-keys", "split-key-bias"});
  const Found shifted = optimised(checkpoint, {"split-key-bias"});
  const Found split = optimised(checkpoint, {});
  EXPECT_EQ(naive.split + shifted.split, 0);
  EXPECT_EQ(shifted.warnings.size(), 2U);
  EXPECT_EQ(split.split, 2);
  EXPECT_TRUE(split.warnings.empty());
  EXPECT_THAT(split.features, testing::Contains("key-bias-split"));
  EXPECT_THAT(shifted.features, testing::Not(testing::Contains("key-bias-split")));
  EXPECT_THAT(split.program, testing::HasSubstr("query_16 16-bit [T, 192] (layers.1.rope.bias_terms f32 [192])"));
  EXPECT_THAT(split.program, testing::HasSubstr("query_16 16-bit [T, 192] (key_constants f32 [96])"));
  EXPECT_GT(naive.distance, 5 * split.distance);
  EXPECT_GT(shifted.distance, 5 * split.distance);
  EXPECT_LT(split.distance, 0.005);
}

// What an adapter adds to keys goes into the cache; the bias beside it stays where it is.
TEST_F(KeyBias, AnAdapterOnKeysWorksWhereTheyAreSplit) {
  const std::string checkpoint = inject(300, 6, 40);
  ASSERT_EQ(optimised(checkpoint, {}).split, 2);
  const auto source = Checkpoint::open(checkpoint);
  const auto graph = build_graph(*source);
  write_adapter({(folder_ / "keys").string(), {"k_proj"}, 4, 1}, *graph);
  ThreadPool pool(1);
  const std::string har = (folder_ / "a.har").string();
  AddAdapterOptions options;
  options.calibration.samples = 4;
  options.calibration.sequence = 128;
  const auto added = add_adapter({har, (folder_ / "keys").string(), har}, options, pool);
  ASSERT_TRUE(added.ok()) << added.error().message;
  const std::string hef = (folder_ / "a.hef").string();
  ASSERT_TRUE(compile_har(har, hef, {}, pool).ok());

  auto adapted = build_graph(*source);
  attach(*adapted, open_adapter((folder_ / "keys").string(), *adapted)->additions);
  const double cosine =
      cosine_of_changes(device_logits_of(hef), device_logits_of(hef, Isa::kRef, 1, 0),
                        float_logits_of(*graph, &source->tensors), float_logits_of(*adapted, &source->tensors));
  EXPECT_GT(cosine, 0.9);
  EXPECT_EQ(device_logits_of(hef, best_isa(), 2, 0), device_logits_of(hef, Isa::kRef, 1, 0));
}

TEST_F(KeyBias, AnOrdinaryOneStays) {
  const Found found = optimised((folder_ / "plain").string(), {});
  EXPECT_EQ(found.split, 0);
  EXPECT_TRUE(found.warnings.empty());
}

}  // namespace
}  // namespace hotaru
