// What an LLMGeneratorParams keeps: what was said, over the model's defaults.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "genai/sampling_choice.h"
#include "hotaru/genai/llm_params.h"

namespace hotaru::genai {

struct LLMGeneratorParams::Impl {
  GenerationDefaults defaults;
  int vocabulary = 0;
  SamplingChoice choice;  // the temperature is that of do_sample
  std::optional<uint32_t> max_tokens;
  std::vector<std::string> stop;
  hotaru::genai::WhenFull when_full = hotaru::genai::WhenFull::STOP;
  std::optional<uint32_t> top_logprobs;

  // What the next reply is sampled with; a seed is drawn when none was set.
  [[nodiscard]] SamplingParams sampling() const;
};

}  // namespace hotaru::genai
