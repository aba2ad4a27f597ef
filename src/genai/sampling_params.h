// How the next token is chosen from the logits: what a caller can set. Not the algorithm (sampler.h).
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace hotaru {

struct LogitBias {
  int32_t id = 0;
  float bias = 0.0F;  // added to the logit; -infinity forbids the token
};

// Two penalty knobs, never mixed up: repetition_penalty is multiplicative (Hugging Face; HailoRT calls it
// frequency_penalty), frequency_penalty and presence_penalty are OpenAI's additive ones. All of them look at the tokens
// generated in this reply, not at the prompt.
struct SamplingParams {
  float temperature = 1.0F;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 1.0F;               // 1: off
  float min_p = 0.0F;               // 0: off
  float repetition_penalty = 1.0F;  // 1: off
  float frequency_penalty = 0.0F;   // times the number of occurrences
  float presence_penalty = 0.0F;    // once for a token that occurred
  std::vector<LogitBias> logit_bias;
  uint64_t seed = 0;
};

// Errors name the parameter, what was found and what is wanted. Ids of logit_bias must be below `vocabulary`.
Result<void> check_sampling_params(const SamplingParams& params, int vocabulary);

}  // namespace hotaru
