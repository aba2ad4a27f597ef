// What a caller says about sampling, and what holds when nothing is said.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "genai/sampling_params.h"

namespace hotaru {

// Hotaru's repetition penalty where neither the caller nor the HEF has one (HailoRT's default).
inline constexpr float kDefaultRepetitionPenalty = 1.1F;

// What a HEF says (from the checkpoint's generation_config.json).
struct GenerationDefaults {
  bool do_sample = true;
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::vector<int32_t> eos_ids;  // the first is the end of turn
  std::optional<int32_t> bos_id;
};

struct SamplingChoice {
  std::optional<float> temperature = {}, top_p = {}, min_p = {};
  std::optional<float> repetition_penalty = {}, frequency_penalty = {}, presence_penalty = {};
  std::optional<int> top_k = {};
  std::optional<uint64_t> seed = {};
  std::vector<LogitBias> logit_bias = {};
};

// The caller's word, else the HEF's default, else Hotaru's (greedy when the HEF says do_sample false). A repetition
// penalty of Hotaru's own is not applied at temperature 0: greedy means the most likely token. Without a seed a random
// one is taken, short enough to be typed again.
SamplingParams resolve_sampling(const SamplingChoice& choice, const GenerationDefaults& defaults);

}  // namespace hotaru
