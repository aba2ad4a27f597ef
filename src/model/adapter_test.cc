#include "model/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "base/json.h"
#include "format/safetensors.h"
#include "model/adapter_config.h"
#include "model/checkpoint.h"

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Graph toy_graph() {
  const Json json = Json::parse(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "vocab_size": 50, "max_position_embeddings": 64})");
  const auto config = parse_model_config(json, "toy");
  EXPECT_TRUE(config.ok());
  auto graph = build_graph(*config, "toy");
  EXPECT_TRUE(graph.ok());
  return *std::move(graph);
}

Json plain_config() {
  return Json::parse(R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "use_dora": false,
    "modules_to_save": null, "rank_pattern": {}, "base_model_name_or_path": "toy",
    "target_modules": ["q_proj", "down_proj"]})");
}

struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
};
using NamedTensors = std::vector<NamedTensor>;

std::string in_layer(int layer, const std::string& module, const char* half) {
  return "base_model.model.model.layers." + std::to_string(layer) + "." + module + "." + half + ".weight";
}

NamedTensors plain_tensors() {
  NamedTensors tensors;
  for (int layer = 0; layer < 2; layer++) {
    tensors.push_back({in_layer(layer, "self_attn.q_proj", "lora_A"), {4, 32}});
    tensors.push_back({in_layer(layer, "self_attn.q_proj", "lora_B"), {32, 4}});
    tensors.push_back({in_layer(layer, "mlp.down_proj", "lora_A"), {4, 64}});
    tensors.push_back({in_layer(layer, "mlp.down_proj", "lora_B"), {32, 4}});
  }
  return tensors;
}

class Adapter : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<PeftAdapter> open(const Json& config, const NamedTensors& tensors, float value = 0.5F) const {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "adapter_config.json") << config.dump();
    std::vector<SafetensorsWriter::Entry> entries;
    for (const NamedTensor& tensor : tensors) entries.push_back({tensor.name, tensor.shape});
    auto writer = SafetensorsWriter::create((folder_ / "adapter_model.safetensors").string(), entries);
    EXPECT_TRUE(writer.ok());
    for (const NamedTensor& tensor : tensors) {
      const auto count = static_cast<size_t>(tensor.shape[0] * tensor.shape[1]);
      EXPECT_TRUE(writer->append(std::vector<float>(count, value)).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    return open_adapter(folder_.string(), toy_graph());
  }
  std::string error_of_config(const char* field, const Json& value) const {
    Json config = plain_config();
    config[field] = value;
    const auto adapter = open(config, plain_tensors());
    return adapter.ok() ? "accepted" : adapter.error().message;
  }
  std::string error_of_tensors(const std::function<void(NamedTensors&)>& change) const {
    NamedTensors tensors = plain_tensors();
    change(tensors);
    const auto adapter = open(plain_config(), tensors);
    return adapter.ok() ? "accepted" : adapter.error().message;
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_adapter_" + std::to_string(::getpid())) / "poet";
};

TEST_F(Adapter, ReadsWhatPeftWrites) {
  const auto adapter = open(plain_config(), plain_tensors());
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  EXPECT_EQ(adapter->name, "poet");
  EXPECT_EQ(adapter->rank, 4);
  EXPECT_EQ(adapter->source_hash.size(), 64U);
  EXPECT_THAT(adapter->targets, ElementsAre("q_proj", "down_proj"));
  ASSERT_EQ(adapter->additions.size(), 4U);
  EXPECT_EQ(adapter->additions[0].node, "layers.0.q");
  EXPECT_EQ(adapter->additions[3].node, "layers.1.down");
  EXPECT_EQ(adapter->additions[0].down[0], 0.5);
  EXPECT_EQ(adapter->additions[0].up[0], 0.5 * 8 / 4);
}

TEST_F(Adapter, RankStabilisedScaleAndPatterns) {
  Json config = plain_config();
  config["use_rslora"] = true;
  config["rank_pattern"] = {{"layers.1.mlp.down_proj", 2}, {"q_proj", 4}};
  config["alpha_pattern"] = {{"down_proj", 6}};
  NamedTensors tensors = plain_tensors();
  tensors[6].shape = {2, 64};
  tensors[7].shape = {32, 2};
  const auto adapter = open(config, tensors);
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  EXPECT_DOUBLE_EQ(adapter->additions[0].up[0], 0.5 * 8 / 2);
  EXPECT_DOUBLE_EQ(adapter->additions[1].up[0], 0.5 * 6 / 2);
  EXPECT_EQ(adapter->additions[3].rank, 2);
  EXPECT_DOUBLE_EQ(adapter->additions[3].up[0], 0.5 * 6 / std::sqrt(2.0));
}

TEST_F(Adapter, SomeLayersOnlyAndPatternsOfTargets) {
  NamedTensors tensors = plain_tensors();
  tensors.resize(4);
  Json config = plain_config();
  config["layers_to_transform"] = {0};
  EXPECT_TRUE(open(config, tensors).ok());
  config["layers_to_transform"] = 1;
  EXPECT_THAT(open(config, tensors).error().message, HasSubstr("'layers.0.mlp.down_proj' has tensors, but"));
  config["layers_to_transform"] = nullptr;
  EXPECT_THAT(open(config, tensors).error().message, HasSubstr("'layers.1.self_attn.q_proj': its lora_A and lora_B"));
  config["target_modules"] = "all-linear";
  const auto adapter = open(config, tensors);
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  EXPECT_EQ(adapter->additions.size(), 2U);
}

TEST_F(Adapter, RefusesByName) {
  EXPECT_THAT(error_of_config("use_dora", true), HasSubstr("adapter_config.json: 'use_dora': DoRA is not supported"));
  EXPECT_THAT(error_of_config("modules_to_save", {"lm_head"}), HasSubstr("'modules_to_save'"));
  EXPECT_THAT(error_of_config("bias", "all"), HasSubstr("'bias': got \"all\", want \"none\""));
  EXPECT_THAT(error_of_config("lora_bias", true), HasSubstr("'lora_bias'"));
  EXPECT_THAT(error_of_config("fan_in_fan_out", true), HasSubstr("'fan_in_fan_out'"));
  EXPECT_THAT(error_of_config("peft_type", "IA3"), HasSubstr("'peft_type': got \"IA3\", want \"LORA\""));
  EXPECT_THAT(error_of_config("init_lora_weights", "pissa_niter_4"), HasSubstr("changes the base weights"));
  EXPECT_THAT(error_of_config("target_modules", {"q_proj", "embed_tokens"}),
              HasSubstr("got 'embed_tokens', want q_proj"));
  EXPECT_THAT(error_of_config("target_modules", {"q_proj", "down_proj", "lm_head"}), HasSubstr("got 'lm_head'"));
  EXPECT_THAT(error_of_config("rank_pattern", {{"(a*)*b", 3}}), HasSubstr("got the pattern \"(a*)*b\""));
  EXPECT_THAT(error_of_config("r", 0), HasSubstr("'r'"));
  EXPECT_THAT(error_of_config("target_modules", {"q_proj"}), HasSubstr("'layers.0.mlp.down_proj' has tensors, but"));
  EXPECT_THAT(error_of_config("target_modules", {"q_proj", "down_proj", "up_proj"}),
              HasSubstr("'layers.0.mlp.up_proj': its lora_A and lora_B are missing"));
  EXPECT_EQ(error_of_config("use_dora", false), "accepted");
}

TEST_F(Adapter, RefusesTensorsThatDoNotFit) {
  const auto erased = [this](size_t index) {
    return error_of_tensors([index](NamedTensors& all) { all.erase(all.begin() + static_cast<ptrdiff_t>(index)); });
  };
  EXPECT_THAT(erased(1), HasSubstr("'layers.0.self_attn.q_proj': its lora_B is missing"));
  EXPECT_THAT(erased(2), HasSubstr("'layers.0.mlp.down_proj': its lora_A is missing"));
  const auto message = error_of_tensors([](NamedTensors& all) { all[0].shape = {4, 64}; });
  EXPECT_THAT(message, HasSubstr("poet"));
  EXPECT_THAT(message, HasSubstr("layers.0.self_attn.q_proj.lora_A.weight"));
  EXPECT_THAT(message, HasSubstr("[4, 64]"));
  EXPECT_THAT(message, HasSubstr("[4, 32]"));
  const auto renamed = [this](const std::string& name) {
    return error_of_tensors([&name](NamedTensors& all) { all[0].name = name; });
  };
  EXPECT_THAT(renamed(in_layer(2, "self_attn.q_proj", "lora_A")),
              HasSubstr("got layer 2, the model has layers 0 to 1"));
  EXPECT_THAT(renamed("base_model.model.lm_head.lora_A.weight"), HasSubstr("adapts 'base_model.model.lm_head'"));
  EXPECT_THAT(renamed("base_model.model.model.embed_tokens.lora_embedding_A"), HasSubstr("embeddings"));
  EXPECT_THAT(renamed("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight"),
              HasSubstr("DoRA"));
  EXPECT_THAT(renamed("base_model.model.lm_head.weight"), HasSubstr("saved as a whole"));
  const auto nan = open(plain_config(), plain_tensors(), std::numeric_limits<float>::quiet_NaN());
  ASSERT_FALSE(nan.ok());
  EXPECT_THAT(nan.error().message, HasSubstr("lora_A"));
}

TEST_F(Adapter, NamesWhatIsNotThere) {
  EXPECT_THAT(open_adapter("/no/such", toy_graph()).error().message, HasSubstr("/no/such: no such adapter directory"));
  EXPECT_TRUE(open(plain_config(), plain_tensors()).ok());
  std::filesystem::rename(folder_ / "adapter_model.safetensors", folder_ / "adapter_model.bin");
  EXPECT_THAT(open_adapter(folder_.string(), toy_graph()).error().message, HasSubstr("pickle"));
}

TEST(AdapterNames, MatchWholeComponents) {
  EXPECT_TRUE(names_module("q_proj", "layers.0.self_attn.q_proj"));
  EXPECT_TRUE(names_module("self_attn.q_proj", "layers.0.self_attn.q_proj"));
  EXPECT_TRUE(names_module("model.layers.0.self_attn.q_proj", "layers.0.self_attn.q_proj"));
  EXPECT_FALSE(names_module("proj", "layers.0.self_attn.q_proj"));
  EXPECT_FALSE(names_module("layers.1.self_attn.q_proj", "layers.11.self_attn.q_proj"));
  EXPECT_FALSE(names_module("layers.1.self_attn.q_proj", "layers.0.self_attn.q_proj"));
}

}  // namespace
}  // namespace hotaru
