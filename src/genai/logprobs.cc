#include "genai/logprobs.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "genai/exponential.h"

namespace hotaru {
namespace {

constexpr size_t kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kLog2E = 1.44269504088896340736;

// NaN is never greater, so it counts as -infinity here and below.
float largest(std::span<const float> logits) {
  std::array<float, kLanes> lanes;
  lanes.fill(-kInfinity);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; j++) lanes[j] = logits[i + j] > lanes[j] ? logits[i + j] : lanes[j];
  }
  for (; i < logits.size(); i++) lanes[0] = logits[i] > lanes[0] ? logits[i] : lanes[0];
  return *std::max_element(lanes.begin(), lanes.end());
}

bool is_better(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob > b.logprob || (a.logprob == b.logprob && a.id < b.id);
}

// The best tokens, with their logits in place of log-probabilities.
void find_top(std::span<const float> logits, size_t count, std::vector<TokenLogprob>& top) {
  count = std::min(count, logits.size());
  top.reserve(count + 1);
  for (size_t id = 0; id < logits.size() && count > 0; id++) {
    if (top.size() == count && !(logits[id] > top.back().logprob)) continue;
    const TokenLogprob token{static_cast<int32_t>(id), logits[id] > -kInfinity ? logits[id] : -kInfinity};
    top.insert(std::upper_bound(top.begin(), top.end(), token, is_better), token);
    if (top.size() > count) top.pop_back();
  }
}

}  // namespace

double log_sum_exp(std::span<const float> logits) {
  const float best = largest(logits);
  // e^-infinity is 0, and without this infinity - infinity would be NaN.
  if (best == -kInfinity || best == kInfinity) return static_cast<double>(best);
  const auto base = static_cast<double>(best);
  std::array<double, kLanes> lanes{};
  const auto add = [&](size_t lane, double first, double second) {
    const Pair powers = exp2_portable((Pair{first, second} - base) * kLog2E);
    lanes[lane] += powers[0];
    lanes[lane + 1] += powers[1];
  };
  const auto logit = [&](size_t id) {
    return static_cast<double>(id < logits.size() ? logits[id] : -kInfinity);  // which adds 0
  };
  for (size_t i = 0; i < logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; j += 2) add(j, logit(i + j), logit(i + j + 1));
  }
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t j = 0; j < width; j++) lanes[j] += lanes[j + width];
  }
  return base + log_portable(lanes[0]);
}

TokenScore score_token(std::span<const float> logits, int32_t id, int top) {
  const double sum = log_sum_exp(logits);
  const auto logprob_of = [&](float logit) {
    if (logit == kInfinity) return 0.0;
    return logit > -kInfinity ? static_cast<double>(logit) - sum : -std::numeric_limits<double>::infinity();
  };
  TokenScore score;
  score.logprob = logprob_of(logits[static_cast<size_t>(id)]);
  find_top(logits, static_cast<size_t>(top), score.top);
  for (TokenLogprob& token : score.top) token.logprob = static_cast<float>(logprob_of(token.logprob));
  return score;
}

void add_logprobs(std::span<const float> logits, int top, ReplyPiece& piece) {
  TokenScore score = score_token(logits, piece.id, top);
  piece.logprob = static_cast<float>(*score.logprob);
  piece.top = std::move(score.top);
}

}  // namespace hotaru
