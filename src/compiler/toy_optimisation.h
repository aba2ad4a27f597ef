// For tests: a small Qwen2 of random weights, calibration tokens, and a HAR being written: what a pass needs.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/log.h"
#include "compiler/har_model.h"
#include "compiler/layer_quantiser.h"
#include "compiler/layer_record.h"
#include "compiler/pass.h"
#include "format/container_writer.h"
#include "model/checkpoint.h"
#include "tensor/random.h"

namespace hotaru {

// A folder of this process that is gone with the object.
class ToyFolder {
 public:
  explicit ToyFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("hotaru_" + name + "_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~ToyFolder() { std::filesystem::remove_all(path_); }
  ToyFolder(const ToyFolder&) = delete;
  ToyFolder& operator=(const ToyFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
  static std::string read(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }
  static void write(const std::string& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path path_;
};

inline Graph toy_graph() {
  const Json json = Json::parse(R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 96,
    "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
    "vocab_size": 53, "max_position_embeddings": 64, "tie_word_embeddings": false})");
  const auto config = parse_model_config(json, "toy");
  EXPECT_TRUE(config.ok()) << config.error().message;
  return *build_graph(*config, "toy");
}

class ToyOptimisation {
 public:
  // The HAR is `har`; nobody reads it before finish().
  explicit ToyOptimisation(const std::string& har) : graph(toy_graph()), har_(har) {
    set_verbosity(Verbosity::kQuiet);
    Random random(3);
    calibration.batch.lengths = {48, 16};
    for (int i = 0; i < 64; i++) calibration.batch.ids.push_back(static_cast<int32_t>(random.next_below(53)));
    writer_ = std::make_unique<ContainerWriter>(*ContainerWriter::create(har, FileKind::kHar));
    EXPECT_TRUE(writer_->begin_section(SectionType::kWeights).ok());
    tensors_ = std::make_unique<TensorSection>(writer_.get());
    context.graph = &graph;
    context.parameters = &parameters_;
    context.calibration = &calibration;
    context.pool = &pool_;
    context.tensors = tensors_.get();
    context.report = &report;
    context.stored.resize(graph.parameters.size());
  }

  // Two streams, before the first layer.
  [[nodiscard]] std::unique_ptr<TwinStreams> embed() {
    auto streams = TwinStreams::create(context, std::filesystem::temp_directory_path().string());
    EXPECT_TRUE(streams.ok());
    EXPECT_TRUE((*streams)->embed(context).ok());
    return *std::move(streams);
  }

  // Everything that a layer leaves behind, as text; the tensors' bytes are in the HAR.
  [[nodiscard]] std::string state() {
    const auto meta = pack_meta(har_meta(graph, context.stored));
    return print(graph) + to_json(report, true).dump() +
           std::string(reinterpret_cast<const char*>(meta.data()), meta.size());
  }
  // The HAR's bytes.
  [[nodiscard]] std::string finish() {
    EXPECT_TRUE(writer_->end_section().ok());
    EXPECT_TRUE(writer_->finish().ok());
    return ToyFolder::read(har_);
  }

  Graph graph;
  CalibrationSet calibration;
  OptimiseReport report;
  PassContext context;

 private:
  std::string har_;
  ParameterSource parameters_{&graph, uint64_t{5}};
  ThreadPool pool_{1};
  std::unique_ptr<ContainerWriter> writer_;
  std::unique_ptr<TensorSection> tensors_;
};

}  // namespace hotaru
