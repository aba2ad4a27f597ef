// Probabilities of logits, in double: the numbers that replies and readings give, but NaN when a logit is NaN.
#pragma once

#include <cstdint>
#include <span>

namespace hotaru {

// ln sum_i exp(logits[i])
double log_normaliser(std::span<const float> logits);
// ln p(id)
double log_probability(std::span<const float> logits, int32_t id);
// The smallest id among the largest logits.
int32_t most_likely(std::span<const float> logits);

}  // namespace hotaru
