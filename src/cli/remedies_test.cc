// The remedies for activations that 8 bits do not hold, from graph to device: 16-bit inputs of linears.
#include "cli/toy_model.h"

namespace hotaru {
namespace {

class Remedies : public testing::Test {
 protected:
  // A Qwen2 of random weights and biases, optimised with 8 bits everywhere.
  void SetUp() override {
    set_verbosity(Verbosity::kQuiet);
    write_checkpoint("Qwen2ForCausalLM", "qwen2", folder_);
    compile_model(folder_.string(), path("a.har"), path("a.hef"));
    auto har = HarFile::open(path("a.har"));
    ASSERT_TRUE(har.ok()) << har.error().message;
    har_ = *std::move(har);
    auto model = load_model(*har_);
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = *std::move(model);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
  [[nodiscard]] Value& value(const std::string& name) {
    const auto found = std::ranges::find(model_.graph.values, name, &Value::name);
    EXPECT_NE(found, model_.graph.values.end()) << name;
    return *found;
  }
  // The logits of the changed model on the device; the same with every kernel and thread count.
  [[nodiscard]] Logits played() const {
    const std::string hef = path("b.hef");
    const auto written = write_hef(model_, 0, nullptr, hef);
    EXPECT_TRUE(written.ok()) << written.error().message;
    if (!written.ok()) return {};
    Logits logits = device_logits_of(hef);
    for (const Isa isa : available_isas()) EXPECT_EQ(device_logits_of(hef, isa, 2), logits) << isa_name(isa);
    return logits;
  }
  // What the same codes say in float arithmetic.
  [[nodiscard]] Logits twin() const {
    const auto graph = dequantised_graph(model_);
    EXPECT_TRUE(graph.ok()) << graph.error().message;
    return float_logits_of(*graph, nullptr);
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_remedies_" + std::to_string(::getpid()));
  std::optional<HarFile> har_;
  OptimisedModel model_;
};

double distance(const Logits& a, const Logits& b) { return 1 - lowest_cosine(a, b); }

// Ranges far wider than what happens are those of a value with rare massive activations.
TEST_F(Remedies, WideInputsHoldWideRanges) {
  std::vector<Value*> inputs;
  for (Node& node : model_.graph.nodes) {
    if (node.kind != NodeKind::kLinear || node.layer == model_.graph.shape.layers) continue;
    inputs.push_back(&model_.graph.values[static_cast<size_t>(node.inputs[0])]);
  }
  for (Value* input : inputs) input->ranges = {{1.0F, 128}};
  const double narrow = distance(twin(), played());
  for (Value* input : inputs) {
    input->bits = 16;
    input->ranges = {{1.0F / 257, 128 * 257}};  // 65535 = 255 * 257
  }
  const double wide = distance(twin(), played());
  EXPECT_GT(narrow, 0.1);
  EXPECT_LT(wide, 0.005);
}

TEST_F(Remedies, OneWideInputIsEnoughForTwinBuffers) {
  Value& product = value("layers.1.swiglu");
  product.bits = 16;
  product.ranges = {{1.0F / 257, 100 * 257 + 77}};
  EXPECT_LT(distance(twin(), played()), 0.005);
}

TEST_F(Remedies, TheHeadTakesNoWideInput) {
  value("norm").bits = 16;
  const auto written = write_hef(model_, 0, nullptr, path("b.hef"));
  ASSERT_FALSE(written.ok());
  EXPECT_NE(written.error().message.find("16-bit input"), std::string::npos) << written.error().message;
}

}  // namespace
}  // namespace hotaru
