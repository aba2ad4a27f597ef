// Graphs of each family against goldens, and checkpoints that do not fit their config.
#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "model/family.h"

namespace hotaru {
namespace {

namespace fs = std::filesystem;

std::string source_path(const std::string& path) { return std::string(HOTARU_SOURCE_DIR) + "/" + path; }

// Compares with tests/golden/<name>; HOTARU_UPDATE_GOLDEN=1 writes it instead.
void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = source_path("tests/golden/" + name);
  if (std::getenv("HOTARU_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << path << " differs; HOTARU_UPDATE_GOLDEN=1 rewrites it";
}

Json toy_config(const Family& family) {
  Json json = Json::parse(R"({"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50, "max_position_embeddings": 128,
    "tie_word_embeddings": false})");
  json["architectures"] = {family.architecture};
  json["model_type"] = family.model_type;
  return json;
}

TEST(Families, GraphsAreAsPrinted) {
  for (const Family* family : families()) {
    Json json = toy_config(*family);
    if (family == &qwen2_family()) json["tie_word_embeddings"] = true;
    if (family == &llama_family()) json["attention_bias"] = json["mlp_bias"] = true;
    const auto config = parse_model_config(json, "toy");
    ASSERT_TRUE(config.ok()) << config.error().message;
    const auto graph = build_graph(*config, "toy");
    ASSERT_TRUE(graph.ok()) << graph.error().message;
    expect_golden("graph_" + std::string(family->model_type) + ".txt", print(*graph));
  }
}

TEST(Checkpoint, OpensShardsAndOlderSpellings) {
  const auto llama = Checkpoint::open(source_path("tests/data/models/random-llama3"));
  ASSERT_TRUE(llama.ok()) << llama.error().message;
  EXPECT_EQ(llama->name, "random-llama3");
  EXPECT_EQ(llama->config.rope.type, RopeType::kLlama3);
  EXPECT_EQ(llama->generation.eos_ids, (std::vector<int32_t>{991, 992}));
  const auto llama_graph = build_graph(*llama);
  ASSERT_TRUE(llama_graph.ok()) << llama_graph.error().message;
  const auto mistral = Checkpoint::open(source_path("tests/data/models/random-mistral/"));
  ASSERT_TRUE(mistral.ok()) << mistral.error().message;
  EXPECT_EQ(mistral->name, "random-mistral");
  const auto mistral_graph = build_graph(*mistral);
  ASSERT_TRUE(mistral_graph.ok()) << mistral_graph.error().message;
  const auto demo = Checkpoint::open(source_path("models/demo"));
  ASSERT_TRUE(demo.ok()) << demo.error().message;
  EXPECT_EQ(demo->generation.eos_ids, (std::vector<int32_t>{4095, 4093}));
  EXPECT_TRUE(demo->generation.do_sample);
  EXPECT_TRUE(build_graph(*demo).ok());
}

// A scratch checkpoint of the toy config whose tensors can be left out, renamed or misshapen.
class ScratchCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("hotaru_checkpoint_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    const auto config = parse_model_config(toy_config(llama_family()), "toy");
    const auto graph = build_graph(*config, "toy");
    for (const Parameter& parameter : graph->parameters) {
      if (parameter.source.empty()) continue;
      std::vector<int64_t> shape = {parameter.columns};
      if (parameter.rows > 1) shape.insert(shape.begin(), parameter.rows);
      entries_.push_back({parameter.source, shape});
    }
  }
  void TearDown() override { fs::remove_all(directory_); }

  SafetensorsWriter::Entry& entry(const std::string& name) {
    for (auto& found : entries_) {
      if (found.name == name) return found;
    }
    ADD_FAILURE() << name;
    return entries_.front();
  }

  // Writes the checkpoint and builds its graph; the error's text, or "".
  std::string build(const Json& config) {
    std::ofstream(directory_ / "config.json") << config.dump();
    auto writer = SafetensorsWriter::create((directory_ / "model.safetensors").string(), entries_);
    EXPECT_TRUE(writer.ok()) << writer.error().message;
    for (const auto& written : entries_) {
      int64_t count = 1;
      for (const int64_t extent : written.shape) count *= extent;
      EXPECT_TRUE(writer->append(std::vector<float>(static_cast<size_t>(count), 0.5F)).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    const auto checkpoint = Checkpoint::open(directory_.string());
    if (!checkpoint) return checkpoint.error().message;
    const auto graph = build_graph(*checkpoint);
    return graph ? "" : graph.error().message;
  }

  fs::path directory_;
  std::vector<SafetensorsWriter::Entry> entries_;
};

TEST_F(ScratchCheckpoint, IsAccepted) { EXPECT_EQ(build(toy_config(llama_family())), ""); }

TEST_F(ScratchCheckpoint, MissingTensorIsNamed) {
  std::erase_if(entries_, [](const auto& one) { return one.name == "model.layers.1.mlp.up_proj.weight"; });
  EXPECT_NE(
      build(toy_config(llama_family())).find("tensor 'model.layers.1.mlp.up_proj.weight': missing, want [96, 64]"),
      std::string::npos);
}

TEST_F(ScratchCheckpoint, WrongShapeNamesBothShapes) {
  entry("model.layers.0.self_attn.k_proj.weight").shape = {16, 64};
  EXPECT_NE(build(toy_config(llama_family()))
                .find("tensor 'model.layers.0.self_attn.k_proj.weight': got [16, 64], want [32, 64]"),
            std::string::npos);
}

TEST_F(ScratchCheckpoint, WrongNumberOfAxesIsRefused) {
  entry("model.norm.weight").shape = {1, 64};
  EXPECT_NE(build(toy_config(llama_family())).find("tensor 'model.norm.weight': got [1, 64], want [64]"),
            std::string::npos);
}

TEST_F(ScratchCheckpoint, BareModelPrefixIsRead) {
  for (auto& one : entries_) {
    if (one.name.starts_with("model.")) one.name.erase(0, 6);
  }
  EXPECT_EQ(build(toy_config(llama_family())), "");
}

TEST_F(ScratchCheckpoint, TiedModelsMayHoldEitherTensorOrBoth) {
  Json tied = toy_config(llama_family());
  tied["tie_word_embeddings"] = true;
  EXPECT_EQ(build(tied), "");
  std::erase_if(entries_, [](const auto& one) { return one.name == "model.embed_tokens.weight"; });
  EXPECT_EQ(build(tied), "");
  EXPECT_NE(build(toy_config(llama_family())).find("'model.embed_tokens.weight': missing"), std::string::npos);
  entry("lm_head.weight").name = "model.embed_tokens.weight";
  EXPECT_EQ(build(tied), "");
  EXPECT_NE(build(toy_config(llama_family())).find("'lm_head.weight': missing"), std::string::npos);
}

TEST(Checkpoint, NamesWhatIsNotThere) {
  EXPECT_EQ(Checkpoint::open("no/such/folder").error().message, "no/such/folder: no such checkpoint directory");
  const auto no_config = Checkpoint::open(source_path("tests/golden"));
  ASSERT_FALSE(no_config.ok());
  EXPECT_NE(no_config.error().message.find("config.json"), std::string::npos) << no_config.error().message;
}

}  // namespace
}  // namespace hotaru
