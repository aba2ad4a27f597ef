// A Hugging Face checkpoint directory: config.json, generation_config.json and the safetensors, opened and checked.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "format/safetensors.h"
#include "graph/graph.h"
#include "model/config.h"

namespace hotaru {

struct Checkpoint {
  std::string directory;
  std::string name;  // last component of the directory
  ModelConfig config;
  GenerationConfig generation;
  Safetensors tensors;

  // Errors name the file and field; an unknown family is refused by name with the list of supported ones.
  static Result<Checkpoint> open(const std::string& directory);
};

// The float graph of a checkpoint, by its family (one file per family: llama.cc, mistral.cc, qwen2.cc, qwen3.cc).
// Every parameter's tensor is looked up: missing or of a wrong shape is an error naming both shapes.
Result<Graph> build_graph(const Checkpoint& checkpoint);
// The same from a config alone (no tensors): shapes for synthetic models.
Result<Graph> build_graph(const ModelConfig& config, const std::string& name);

}  // namespace hotaru
