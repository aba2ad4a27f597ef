// What clients are told about a HEF, read from its head without loading it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "server/store/model_store.h"

namespace hotaru::server {

struct HefDetails {
  std::string family;         // "qwen2", of the architecture "Qwen2ForCausalLM"
  std::string quantisation;   // "int4 group 32"
  std::string chat_template;  // Jinja; empty: none
  std::string generation;     // one "name value" a line, as Ollama's `parameters`
  uint64_t parameters = 0;    // 0: not said
  int context_tokens = 0, width = 0;
  std::vector<std::string> adapters;
  Json info;  // Ollama's model_info: "general.architecture", "qwen2.context_length", ...
};
Result<HefDetails> read_hef_details(const std::string& path);

// Of api/tags, api/ps and api/show: {"parent_model", "format": "hef", "family", "families", "parameter_size": "1.5B",
// "quantization_level"}; what a damaged file does not say is "".
Json details_json(const StoredModel& model);
// The answer of /api/show.
Result<Json> show_json(const StoredModel& model);

std::string parameter_size_text(uint64_t parameters);  // "7.3M", "1.5B"

}  // namespace hotaru::server
