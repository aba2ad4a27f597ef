// For tests: small checkpoints of random weights, their way to a HEF, and logits of the float model and of the device.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "base/json.h"
#include "base/log.h"
#include "compiler/compile.h"
#include "compiler/dequantise.h"
#include "compiler/float_executor.h"
#include "compiler/har_model.h"
#include "compiler/pipeline.h"
#include "device/device.h"
#include "model/checkpoint.h"
#include "tensor/random.h"

namespace hotaru {

using Logits = std::vector<std::vector<float>>;

inline const std::vector<int32_t> kIds = {3,   141, 59,  265, 358, 97, 93,  238, 462, 643,
                                          383, 279, 502, 8,   8,   8,  700, 1,   0,   76};

struct NewAdapter {
  std::string folder;
  std::vector<std::string> targets;
  int64_t rank = 4;
  uint64_t seed = 1;
};

// Random numbers, strong enough to change what the model says.
inline void write_adapter(const NewAdapter& wanted, const Graph& graph) {
  std::filesystem::create_directories(wanted.folder);
  const Json config = {{"peft_type", "LORA"},
                       {"r", wanted.rank},
                       {"lora_alpha", 8},
                       {"target_modules", wanted.targets},
                       {"base_model_name_or_path", "toy"}};
  std::ofstream(wanted.folder + "/adapter_config.json") << config.dump();
  std::vector<SafetensorsWriter::Entry> entries;
  for (const Parameter& parameter : graph.parameters) {
    for (const std::string& target : wanted.targets) {
      if (parameter.source.find("." + target + ".weight") == std::string::npos) continue;
      const std::string module = parameter.source.substr(0, parameter.source.rfind('.'));
      entries.push_back({"base_model.model." + module + ".lora_A.weight", {wanted.rank, parameter.columns}});
      entries.push_back({"base_model.model." + module + ".lora_B.weight", {parameter.rows, wanted.rank}});
    }
  }
  auto writer = SafetensorsWriter::create(wanted.folder + "/adapter_model.safetensors", entries);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  Random random(wanted.seed);
  for (const auto& entry : entries) {
    std::vector<float> values(static_cast<size_t>(entry.shape[0] * entry.shape[1]));
    const float deviation = 0.7F / std::sqrt(static_cast<float>(entry.shape[1]));
    for (float& value : values) value = deviation * random.next_normal();
    ASSERT_TRUE(writer->append(values).ok());
  }
  ASSERT_TRUE(writer->commit().ok());
}

inline Logits float_logits_of(const Graph& graph, const Safetensors* tensors, std::span<const int32_t> ids = kIds) {
  const ParameterSource parameters(&graph, tensors);
  ThreadPool pool(1);
  FloatExecutor executor(&graph, &parameters, &pool);
  Logits logits;
  const auto sink = [&logits](int64_t, std::span<const float> row) { logits.emplace_back(row.begin(), row.end()); };
  const auto played = float_logits(executor, graph, ids, sink);
  EXPECT_TRUE(played.ok()) << played.error().message;
  return logits;
}

inline void compile_model(const std::string& directory, const std::string& har, const std::string& hef) {
  OptimiseOptions options;
  options.calibration.samples = 4;
  options.calibration.sequence = 128;
  ThreadPool pool(1);
  const auto optimised = optimise(directory, har, options, pool);
  ASSERT_TRUE(optimised.ok()) << optimised.error().message;
  const auto compiled = compile_har(har, hef, {}, pool);
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
}

inline Logits device_logits_of(const std::string& hef, Isa isa = Isa::kRef, int threads = 1, int adapter = kNoAdapter) {
  DeviceOptions device_options;
  device_options.isa = isa;
  device_options.threads = threads;
  auto device = Device::open(hef, device_options);
  EXPECT_TRUE(device.ok()) << device.error().message;
  const auto context = (*device)->create_context();
  EXPECT_TRUE(context.ok());
  (*device)->set_adapter(*context, adapter);
  EXPECT_TRUE((*device)->reserve(*context, 0, static_cast<int>(kIds.size())).ok());
  Logits logits;
  for (size_t t = 0; t < kIds.size(); t++) {
    const StepRow row = {kIds[t], static_cast<int32_t>(t), *context};
    (*device)->step({&row, 1});
    const int32_t first = 0;
    (*device)->compute_logits({&first, 1});
    const auto values = (*device)->logits(0);
    logits.emplace_back(values.begin(), values.end());
  }
  return logits;
}

// Between (b - a) and (d - c), over all positions.
inline double cosine_of_changes(const Logits& a, const Logits& b, const Logits& c, const Logits& d) {
  double dot = 0, left = 0, right = 0;
  for (size_t t = 0; t < a.size(); t++) {
    for (size_t i = 0; i < a[t].size(); i++) {
      const double x = static_cast<double>(b[t][i]) - static_cast<double>(a[t][i]);
      const double y = static_cast<double>(d[t][i]) - static_cast<double>(c[t][i]);
      dot += x * y;
      left += x * x;
      right += y * y;
    }
  }
  return dot / std::sqrt(left * right);
}

inline double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (size_t i = 0; i < a.size(); i++) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return ab / std::sqrt(aa * bb);
}

inline double lowest_cosine(const Logits& a, const Logits& b) {
  EXPECT_EQ(a.size(), b.size());
  double lowest = 1;
  for (size_t t = 0; t < a.size(); t++) lowest = std::min(lowest, cosine(a[t], b[t]));
  return lowest;
}

// A small checkpoint of a family, random weights, biases and gammas.
inline void write_checkpoint(const char* architecture, const char* model_type, const std::filesystem::path& folder) {
  Json json = Json::parse(R"({"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 48, "vocab_size": 777, "max_position_embeddings": 256,
    "tie_word_embeddings": true, "rope_theta": 10000.0, "rms_norm_eps": 1e-6, "eos_token_id": 1})");
  json["architectures"] = {architecture};
  json["model_type"] = model_type;
  if (json["model_type"] == "qwen2") {  // head width is hidden size / heads
    json["hidden_size"] = 192;
    json.erase("head_dim");
  }
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << json.dump();
  const auto config = parse_model_config(json, "toy");
  ASSERT_TRUE(config.ok()) << config.error().message;
  const auto graph = build_graph(*config, "toy");
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  std::vector<SafetensorsWriter::Entry> entries;
  for (const Parameter& parameter : graph->parameters) {
    if (parameter.source.empty()) continue;
    entries.push_back({parameter.source, {parameter.columns}});
    if (parameter.rows > 1) entries.back().shape.insert(entries.back().shape.begin(), parameter.rows);
  }
  auto writer = SafetensorsWriter::create((folder / "model.safetensors").string(), entries);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  Random random(11);
  for (const Parameter& parameter : graph->parameters) {
    if (parameter.source.empty()) continue;
    std::vector<float> values(static_cast<size_t>(parameter.rows * parameter.columns));
    const float middle = parameter.rows == 1 && !parameter.name.ends_with(".bias") ? 1.0F : 0.0F;
    const float deviation = parameter.rows == 1 ? 0.3F : 1.0F / std::sqrt(static_cast<float>(parameter.columns));
    for (float& value : values) value = middle + deviation * random.next_normal();
    ASSERT_TRUE(writer->append(values).ok());
  }
  ASSERT_TRUE(writer->commit().ok());
}

}  // namespace hotaru
