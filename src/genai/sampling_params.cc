#include "genai/sampling_params.h"

#include <cmath>
#include <limits>
#include <string_view>

namespace hotaru {
namespace {

struct Range {
  float low, high;
};

Result<void> check_range(std::string_view name, float value, Range range) {
  if (value >= range.low && value <= range.high) return {};  // false for NaN
  if (std::isfinite(range.high)) {
    return invalid("{}: got {}, want a number from {} to {}", name, value, range.low, range.high);
  }
  return invalid("{}: got {}, want a number of at least {}", name, value, range.low);
}

Result<void> check_finite(std::string_view name, float value) {
  if (std::isfinite(value)) return {};
  return invalid("{}: got {}, want a finite number", name, value);
}

}  // namespace

Result<void> check_sampling_params(const SamplingParams& params, int vocabulary) {
  constexpr float kNoLimit = std::numeric_limits<float>::infinity();
  TRY(check_range("temperature", params.temperature, {0.0F, kNoLimit}));
  TRY(check_finite("temperature", params.temperature));
  if (params.top_k < 0) return invalid("top_k: got {}, want 0 (off) or more", params.top_k);
  TRY(check_range("top_p", params.top_p, {0.0F, 1.0F}));
  TRY(check_range("min_p", params.min_p, {0.0F, 1.0F}));
  TRY(check_finite("repetition_penalty", params.repetition_penalty));
  if (!(params.repetition_penalty > 0.0F)) {
    return invalid("repetition_penalty: got {}, want a number above 0 (1 is off)", params.repetition_penalty);
  }
  TRY(check_finite("frequency_penalty", params.frequency_penalty));
  TRY(check_finite("presence_penalty", params.presence_penalty));
  for (const LogitBias& entry : params.logit_bias) {
    if (entry.id < 0 || entry.id >= vocabulary) {
      return invalid("logit_bias: token id {} is not in the vocabulary, want 0 to {}", entry.id, vocabulary - 1);
    }
    if (std::isnan(entry.bias) || entry.bias == kNoLimit) {
      return invalid("logit_bias: got {} for token {}, want a finite number or -inf", entry.bias, entry.id);
    }
  }
  return {};
}

}  // namespace hotaru
