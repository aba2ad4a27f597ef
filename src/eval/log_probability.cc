#include "eval/log_probability.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "genai/logprobs.h"

namespace hotaru {

double log_normaliser(std::span<const float> logits) {
  const bool is_sound = std::none_of(logits.begin(), logits.end(), [](float logit) { return std::isnan(logit); });
  return is_sound ? log_sum_exp(logits) : std::numeric_limits<double>::quiet_NaN();
}

double log_probability(std::span<const float> logits, int32_t id) {
  return static_cast<double>(logits[static_cast<size_t>(id)]) - log_normaliser(logits);
}

int32_t most_likely(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace hotaru
