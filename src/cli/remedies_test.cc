// The remedies for activations that 8 bits do not hold, from graph to device: 16-bit inputs of linears, prefix
// tokens as constants.
#include "cli/toy_model.h"
#include "compiler/key_columns.h"

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
    model_.bytes = [this, from_har = model_.bytes, count = static_cast<int>(model_.tensors.size())](int tensor) {
      return tensor < count ? from_har(tensor) : std::as_bytes(std::span(added_[static_cast<size_t>(tensor - count)]));
    };
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
  [[nodiscard]] Value& value(const std::string& name) {
    const auto found = std::ranges::find(model_.graph.values, name, &Value::name);
    EXPECT_NE(found, model_.graph.values.end()) << name;
    return *found;
  }
  [[nodiscard]] std::vector<Node*> attentions() {
    std::vector<Node*> found;
    for (Node& node : model_.graph.nodes) {
      if (node.kind == NodeKind::kAttention) found.push_back(&node);
    }
    return found;
  }
  // A parameter [rows, values / rows] that stays float.
  ParameterId add_floats(const std::string& name, int64_t rows, const std::vector<float>& values) {
    const auto columns = static_cast<int64_t>(values.size()) / rows;
    Parameter parameter;
    parameter.name = name;
    parameter.rows = rows;
    parameter.columns = columns;
    model_.stored.push_back({.values = static_cast<int>(model_.tensors.size())});
    model_.tensors.push_back({name, fb::Layout::F32, {static_cast<uint64_t>(rows), static_cast<uint64_t>(columns)}});
    added_.push_back(values);
    return model_.graph.add_parameter(std::move(parameter));
  }
  // Keys and values of these ids, in float, become constants; keys times `gain`.
  void add_prefix(const std::vector<int32_t>& ids, float gain) {
    const auto graph = dequantised_graph(model_);
    ASSERT_TRUE(graph.ok());
    const ParameterSource parameters(&*graph, nullptr);
    ThreadPool pool(1);
    FloatExecutor executor(&*graph, &parameters, &pool);
    ASSERT_TRUE(executor.begin({ids, {static_cast<int64_t>(ids.size())}}).ok());
    std::map<ValueId, std::vector<float>> seen;
    for (int layer = 0; layer < graph->shape.layers; layer++) {
      const auto observer = [&](ValueId value, std::span<const float> rows) {
        seen[value] = {rows.begin(), rows.end()};
      };
      ASSERT_TRUE(executor.run_layer(layer, observer).ok());
    }
    model_.graph.prefix = ids;
    for (Node* node : attentions()) {
      for (float& key : seen[node->inputs[1]]) key *= gain;
      const auto tokens = static_cast<int64_t>(ids.size());
      node->prefix_key = add_floats(node->name + ".prefix_key", tokens, seen[node->inputs[1]]);
      node->prefix_value = add_floats(node->name + ".prefix_value", tokens, seen[node->inputs[2]]);
    }
    ASSERT_TRUE(verify(model_.graph).ok());
  }
  [[nodiscard]] Value& value_of(ValueId id) { return model_.graph.values[static_cast<size_t>(id)]; }
  [[nodiscard]] Node* maker(ValueId id) { return &*std::ranges::find(model_.graph.nodes, id, &Node::output); }
  [[nodiscard]] std::vector<float> floats_of(ParameterId id) const {
    const auto bytes = model_.bytes(model_.stored[static_cast<size_t>(id)].values);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  // Every key head's bias on one pair; queries there shrink by `divisor`: their rows' scales and bias.
  void grow_key_bias(float size, size_t pair, float divisor) {
    for (Node* node : attentions()) {
      const auto width = static_cast<size_t>(node->head_width);
      Node* k = maker(maker(node->inputs[1])->inputs[0]);
      Node* q = maker(maker(node->inputs[0])->inputs[0]);
      std::vector<float> key = floats_of(k->bias);
      std::vector<float> query = floats_of(q->bias);
      StoredParameter& matrix = model_.stored[static_cast<size_t>(q->weight)];
      const auto bytes = model_.bytes(matrix.row_scale);
      std::vector<float> scales(bytes.size() / sizeof(float));
      std::memcpy(scales.data(), bytes.data(), bytes.size());
      for (size_t i = 0; i < key.size(); i++) {
        if (i % width == pair) key[i] += size;
      }
      for (size_t i = 0; i < query.size(); i++) {
        if (i % (width / 2) != pair) continue;
        query[i] /= divisor;
        scales[i] /= divisor;
      }
      k->bias = add_floats(k->name + ".grown_bias", 1, key);
      q->bias = add_floats(q->name + ".smaller_bias", 1, query);
      matrix.row_scale = static_cast<int>(model_.tensors.size());
      model_.tensors.push_back({q->name + ".smaller_scale", fb::Layout::F32, {scales.size()}});
      added_.push_back(scales);
    }
  }
  // Every layer's bias out of its keys.
  void split_keys() {
    const auto graph = dequantised_graph(model_);
    ASSERT_TRUE(graph.ok());
    const ParameterSource parameters(&*graph, nullptr);
    ThreadPool pool(1);
    FloatExecutor executor(&*graph, &parameters, &pool);
    ASSERT_TRUE(executor.begin({kIds, {static_cast<int64_t>(kIds.size())}}).ok());
    std::map<ValueId, std::vector<float>> seen;
    for (int layer = 0; layer < graph->shape.layers; layer++) {
      ASSERT_TRUE(executor
                      .run_layer(layer,
                                 [&](ValueId id, std::span<const float> rows) {
                                   seen[id] = {rows.begin(), rows.end()};
                                 })
                      .ok());
    }
    for (Node* node : attentions()) {
      const Node* rope = maker(node->inputs[1]);
      Node* k = maker(rope->inputs[0]);
      std::swap(k->bias, node->key_bias);
      const KeyColumns columns =
          make_key_columns(graph->parameters[static_cast<size_t>(rope->frequency)].values, 1, 256);
      node->key_bias_reach =
          largest_coefficient(seen[node->inputs[0]], bias_terms(floats_of(node->key_bias), columns.codes),
                              {static_cast<size_t>(node->heads), static_cast<size_t>(node->kv_heads),
                               static_cast<size_t>(node->head_width)});
      EXPECT_GT(node->key_bias_reach, 0);
    }
    ASSERT_TRUE(verify(model_.graph).ok());
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
  [[nodiscard]] Logits twin(std::span<const int32_t> ids = kIds) const {
    const auto graph = dequantised_graph(model_);
    EXPECT_TRUE(graph.ok()) << graph.error().message;
    return float_logits_of(*graph, nullptr, ids);
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_remedies_" + std::to_string(::getpid()));
  std::optional<HarFile> har_;
  OptimisedModel model_;
  std::vector<std::vector<float>> added_;  // values of added parameters
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

TEST_F(Remedies, APrefixIsTheBeginningOfEveryText) {
  const std::vector<int32_t> prefix = {17, 400, 5};
  std::vector<int32_t> whole = prefix;
  whole.insert(whole.end(), kIds.begin(), kIds.end());
  Logits plain = twin(whole);
  plain.erase(plain.begin(), plain.begin() + static_cast<ptrdiff_t>(prefix.size()));
  add_prefix(prefix, 1);
  EXPECT_LT(distance(plain, twin()), 1e-6);
  EXPECT_LT(distance(twin(), played()), 0.005);
}

// Scores far above those of all other keys: most of the weight falls on the prefix.
TEST_F(Remedies, APrefixMayTakeAlmostAllWeight) {
  add_prefix({17}, 40);
  const Logits wanted = twin();
  EXPECT_LT(distance(wanted, played()), 0.008);
  model_.graph.prefix.clear();
  for (Node* node : attentions()) node->prefix_key = node->prefix_value = kNone;
  EXPECT_GT(distance(wanted, played()), 0.02);
}

TEST_F(Remedies, AKeyShiftMovesThePrefixToo) {
  add_prefix({17, 18}, 2);
  const Logits before = played();
  for (Node* node : attentions()) {
    std::vector<float> shift;
    for (int i = 0; i < node->kv_heads * node->head_width; i++) shift.push_back(static_cast<float>(i % 5) - 2.0F);
    node->key_shift = add_floats(node->name + ".key_shift", 1, shift);
    StaticRange& keys = model_.graph.values[static_cast<size_t>(node->inputs[1])].ranges[0];
    keys.scale *= 1.5F;  // room for what is shifted
  }
  EXPECT_LT(distance(before, played()), 0.005);
}

// Keys without their bias: in float nothing changes, with a prefix and without.
TEST_F(Remedies, SplittingTheBiasOffIsExact) {
  for (const bool with_prefix : {false, true}) {
    if (with_prefix) add_prefix({17, 18}, 1);
    const Logits before = twin();
    split_keys();
    EXPECT_LT(distance(before, twin()), 1e-6);
    EXPECT_LT(distance(before, played()), 0.005);
    for (Node* node : attentions()) std::swap(maker(maker(node->inputs[1])->inputs[0])->bias, node->key_bias);
  }
}

// A bias of 300 on a pair that turns once in 60 tokens.
TEST_F(Remedies, ALargeBiasThatRotatesNeedsTheSplit) {
  grow_key_bias(300, 6, 40);
  for (Node* node : attentions()) value_of(node->inputs[1]).ranges = {{600.0F / 255, 128}};
  const double whole = distance(twin(), played());
  for (Node* node : attentions()) value_of(node->inputs[1]).ranges = {{12.0F / 255, 128}};
  split_keys();
  const double split = distance(twin(), played());
  RecordProperty("whole", std::to_string(whole));
  RecordProperty("split", std::to_string(split));
  EXPECT_GT(whole, 5 * split);
  EXPECT_LT(split, 0.005);
}

TEST_F(Remedies, ALayerMaySplitAlone) {
  const Logits before = twin();
  split_keys();
  Node* second = attentions()[1];
  std::swap(maker(maker(second->inputs[1])->inputs[0])->bias, second->key_bias);
  EXPECT_LT(distance(before, played()), 0.005);
}

TEST_F(Remedies, ASplitBiasMovesWithPrefixAndShift) {
  add_prefix({17, 18}, 2);
  split_keys();
  const Logits before = played();
  for (Node* node : attentions()) {
    std::vector<float> shift;
    for (int i = 0; i < node->kv_heads * node->head_width; i++) shift.push_back(static_cast<float>(i % 5) - 2.0F);
    node->key_shift = add_floats(node->name + ".key_shift", 1, shift);
    value_of(node->inputs[1]).ranges[0].scale *= 1.5F;
  }
  EXPECT_LT(distance(before, played()), 0.005);
}

TEST_F(Remedies, EveryLayerNeedsItsPrefixConstants) {
  add_prefix({17}, 1);
  attentions()[1]->prefix_key = attentions()[1]->prefix_value = kNone;
  const auto written = write_hef(model_, 0, nullptr, path("b.hef"));
  ASSERT_FALSE(written.ok());
  EXPECT_NE(written.error().message.find("no constants"), std::string::npos) << written.error().message;
}

}  // namespace
}  // namespace hotaru
