#include "genai/sampling_choice.h"

#include <random>

namespace hotaru {

SamplingParams resolve_sampling(const SamplingChoice& choice, const GenerationDefaults& defaults) {
  const auto first_said = [](auto chosen, auto of_hef, auto otherwise) {
    return chosen ? *chosen : of_hef.value_or(otherwise);
  };
  SamplingParams params;
  const float warm = defaults.temperature.value_or(1.0F);
  params.temperature = choice.temperature.value_or(defaults.do_sample ? warm : 0.0F);
  params.top_p = first_said(choice.top_p, defaults.top_p, 1.0F);
  params.min_p = first_said(choice.min_p, defaults.min_p, 0.0F);
  params.top_k = first_said(choice.top_k, defaults.top_k, 0);
  const float penalty = params.temperature > 0.0F ? kDefaultRepetitionPenalty : 1.0F;
  params.repetition_penalty = first_said(choice.repetition_penalty, defaults.repetition_penalty, penalty);
  params.frequency_penalty = choice.frequency_penalty.value_or(0.0F);
  params.presence_penalty = choice.presence_penalty.value_or(0.0F);
  params.logit_bias = choice.logit_bias;
  params.seed = choice.seed ? *choice.seed : std::random_device{}();
  return params;
}

}  // namespace hotaru
