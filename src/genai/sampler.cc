#include "genai/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "genai/exponential.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kLog2E = 1.44269504088896340736;

// NaN counts as -infinity; +infinity would turn differences into NaN.
float comparable(float logit) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  return std::isnan(logit) ? -kInfinity : std::min(logit, kLargest);
}

constexpr size_t kBlock = 16;

// Four floats; a vector register where there is one.
using Lanes = float __attribute__((vector_size(16)));

Lanes load_lanes(const float* values) {
  Lanes lanes;
  std::memcpy(&lanes, values, sizeof(lanes));
  return lanes;
}

Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }

float largest_lane(Lanes lanes) { return std::max(std::max(lanes[0], lanes[1]), std::max(lanes[2], lanes[3])); }

float block_largest(const float* block) {
  Lanes best = load_lanes(block);
  for (size_t i = 4; i < kBlock; i += 4) best = larger(load_lanes(block + i), best);
  return largest_lane(best);
}

// comparable() of a block's logits into `to`; their largest.
float take_block(const float* logits, float* to) {
  const Lanes none = Lanes{} - kInfinity;
  const Lanes most = Lanes{} + std::numeric_limits<float>::max();
  Lanes best = none;
  for (size_t i = 0; i < kBlock; i += 4) {
    const Lanes given = load_lanes(logits + i);
    const Lanes number = given == given ? given : none;
    const Lanes lanes = number < most ? number : most;
    std::memcpy(to + i, &lanes, sizeof(lanes));
    best = larger(lanes, best);
  }
  return largest_lane(best);
}

bool is_allowed(std::span<const uint64_t> allowed, size_t id) {
  return id / 64 < allowed.size() && (allowed[id / 64] >> (id % 64) & 1) != 0;
}

// Uniform in [0, 1), 53 bits, of the n-th token of a reply.
double uniform_of_token(uint64_t seed, uint64_t n) {
  Random random(seed);
  random.seek(n * 4);  // a block is four words
  return static_cast<double>(random.next_u64() >> 11) * 0x1p-53;
}

}  // namespace

Sampler::Sampler(const SamplingParams& params, int vocabulary) : params_(params) {
  CHECK_GT(vocabulary, 0);
  const auto size = static_cast<size_t>(vocabulary);
  const size_t padded = (size + kBlock - 1) / kBlock * kBlock;
  adjusted_.resize(padded, -kInfinity);
  block_best_.resize(padded / kBlock);
  counts_.resize(size);
  distinct_.reserve(size);
  if (params_.temperature == 0.0F) return;
  const bool has_top_k = params_.top_k > 0;
  candidates_.reserve(has_top_k ? std::min(size, static_cast<size_t>(params_.top_k)) : size);
  if (!has_top_k) weights_.resize(padded);
}

void Sampler::skip(int32_t id) {
  CHECK(id >= 0 && static_cast<size_t>(id) < counts_.size());
  if (counts_[static_cast<size_t>(id)]++ == 0) distinct_.push_back(id);
  generated_tokens_++;
}

void Sampler::forbid_all_but(std::span<const uint64_t> allowed) {
  for (size_t first = 0; first < adjusted_.size(); first += 64) {
    const uint64_t word = first / 64 < allowed.size() ? allowed[first / 64] : 0;
    const size_t size = std::min(size_t{64}, adjusted_.size() - first);
    float* const logits = adjusted_.data() + first;
    if (word == 0) {
      std::fill_n(logits, size, -kInfinity);
      continue;
    }
    for (uint64_t forbidden = ~word; forbidden != 0; forbidden &= forbidden - 1) {
      const auto id = static_cast<size_t>(std::countr_zero(forbidden));
      if (id < size) logits[id] = -kInfinity;
    }
  }
  for (size_t block = 0; block < block_best_.size(); block++) look_again(block);
}

// The logits as they come, and the best of each block: one pass over the vocabulary.
void Sampler::take(std::span<const float> logits) {
  const size_t whole = logits.size() / kBlock;
  for (size_t block = 0; block < whole; block++) {
    block_best_[block] = take_block(&logits[block * kBlock], &adjusted_[block * kBlock]);
  }
  std::transform(logits.begin() + static_cast<ptrdiff_t>(whole * kBlock), logits.end(),
                 adjusted_.begin() + static_cast<ptrdiff_t>(whole * kBlock), comparable);
  if (whole < block_best_.size()) look_again(whole);
}

void Sampler::look_again(size_t block) { block_best_[block] = block_largest(&adjusted_[block * kBlock]); }

// The best one of the lowest id.
int32_t Sampler::first_best() const {
  const auto block = std::find(block_best_.begin(), block_best_.end(), best_logit_) - block_best_.begin();
  const auto first = adjusted_.begin() + block * static_cast<ptrdiff_t>(kBlock);
  return static_cast<int32_t>(std::find(first, adjusted_.end(), best_logit_) - adjusted_.begin());
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const uint64_t> allowed) {
  CHECK_EQ(logits.size(), counts_.size());
  take(logits);
  if (!allowed.empty()) forbid_all_but(allowed);
  adjust_generated();
  best_logit_ = *std::max_element(block_best_.begin(), block_best_.end());
  int32_t chosen = 0;
  if (best_logit_ == -kInfinity) {
    while (!allowed.empty() && !is_allowed(allowed, static_cast<size_t>(chosen))) chosen++;
  } else if (params_.temperature == 0.0F) {
    chosen = first_best();
  } else {
    drop_below_ = static_cast<double>(best_logit_) - 64.0 / kLog2E * static_cast<double>(params_.temperature);
    if (params_.top_k > 0) {
      find_top_k();
      if (params_.top_p < 1.0F) keep_top_p();
      chosen = draw_of_candidates();
    } else if (params_.top_p < 1.0F) {
      find_top_p(weigh_all() * static_cast<double>(params_.top_p));
      chosen = draw_of_candidates();
    } else {
      chosen = draw_of_all();
    }
  }
  skip(chosen);
  return chosen;
}

void Sampler::adjust_generated() {
  for (const int32_t id : distinct_) {
    float logit = adjusted_[static_cast<size_t>(id)];
    if (logit == -kInfinity) continue;
    const auto count = static_cast<float>(counts_[static_cast<size_t>(id)]);
    logit = logit > 0.0F ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    logit = logit - count * params_.frequency_penalty;
    logit = logit - params_.presence_penalty;
    adjusted_[static_cast<size_t>(id)] = comparable(logit);
    look_again(static_cast<size_t>(id) / kBlock);
  }
  for (const LogitBias& entry : params_.logit_bias) {
    float& logit = adjusted_[static_cast<size_t>(entry.id)];
    logit = comparable(logit + entry.bias);
    look_again(static_cast<size_t>(entry.id) / kBlock);
  }
}

// exp((logit - best) / temperature): 1 for the best.
double Sampler::weight(float logit) const {
  const double distance = static_cast<double>(logit) - static_cast<double>(best_logit_);
  return exp2_portable(distance * kLog2E / static_cast<double>(params_.temperature));
}

bool Sampler::worse(const Candidate& a, const Candidate& b) {
  return a.logit < b.logit || (a.logit == b.logit && a.id > b.id);
}

// Fills weights_; their sum, in id order.
double Sampler::weigh_all() {
  const auto best = static_cast<double>(best_logit_);
  const auto temperature = static_cast<double>(params_.temperature);
  double sum = 0.0;
  for (size_t id = 0; id < adjusted_.size(); id += 2) {
    const Pair logits{static_cast<double>(adjusted_[id]), static_cast<double>(adjusted_[id + 1])};
    const Pair weights = exp2_portable((logits - best) * kLog2E / temperature);  // as weight()
    const Pair drawable = logits >= drop_below_ ? weights : Pair{0.0, 0.0};
    weights_[id] = drawable[0];
    weights_[id + 1] = drawable[1];
    sum += drawable[0];
    sum += drawable[1];
  }
  return sum;
}

// The top_k best, best first; in id order when there are no more than that.
void Sampler::find_top_k() {
  const auto count = static_cast<size_t>(params_.top_k);
  const auto better = [](const Candidate& a, const Candidate& b) { return worse(b, a); };
  candidates_.clear();  // once there are `count`: a heap with the worst on top
  bool has_left_out = false;
  for (size_t first = 0; first < adjusted_.size(); first += kBlock) {
    const float best = block_best_[first / kBlock];
    if (!is_drawable(best)) continue;
    if (candidates_.size() == count && !(best > candidates_.front().logit)) {
      has_left_out = true;
      continue;
    }
    for (size_t id = first; id < first + kBlock; id++) {
      const Candidate candidate{adjusted_[id], static_cast<int32_t>(id)};
      if (!is_drawable(candidate.logit)) continue;
      if (candidates_.size() == count) {
        has_left_out = true;
        if (!(candidate.logit > candidates_.front().logit)) continue;
        std::pop_heap(candidates_.begin(), candidates_.end(), better);
        candidates_.back() = candidate;
        std::push_heap(candidates_.begin(), candidates_.end(), better);
      } else {
        candidates_.push_back(candidate);
        if (candidates_.size() == count) std::make_heap(candidates_.begin(), candidates_.end(), better);
      }
    }
  }
  if (has_left_out) {
    std::sort_heap(candidates_.begin(), candidates_.end(), better);
  } else {
    std::sort(candidates_.begin(), candidates_.end(),
              [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  }
}

double Sampler::candidates_weight() const {
  double sum = 0.0;
  for (const Candidate& candidate : candidates_) sum += weight(candidate.logit);
  return sum;
}

// The smallest set of best candidates whose probabilities add up to top_p or more; at least one.
void Sampler::keep_top_p() {
  const double wanted = candidates_weight() * static_cast<double>(params_.top_p);
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return worse(b, a); });
  double sum = 0.0;
  size_t count = 0;
  do {
    sum += weight(candidates_[count++].logit);
  } while (sum < wanted && count < candidates_.size());
  candidates_.resize(count);
}

// All tokens with that logit or more that can be drawn, best first.
void Sampler::find_above(double least_logit) {
  const double least = std::max(least_logit, drop_below_);
  candidates_.clear();
  for (size_t first = 0; first < adjusted_.size(); first += kBlock) {
    if (static_cast<double>(block_best_[first / kBlock]) < least) continue;
    for (size_t id = first; id < first + kBlock; id++) {
      if (static_cast<double>(adjusted_[id]) >= least) candidates_.push_back({adjusted_[id], static_cast<int32_t>(id)});
    }
  }
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return worse(b, a); });
}

// As keep_top_p, of all tokens. The set is small most often: it is looked for among the few best, then among more.
void Sampler::find_top_p(double wanted) {
  for (double depth = 4.0;; depth *= 2.0) {
    const double least = static_cast<double>(best_logit_) - depth * static_cast<double>(params_.temperature);
    find_above(least);
    double sum = 0.0;
    size_t count = 0;
    do {
      sum += weights_[static_cast<size_t>(candidates_[count++].id)];
    } while (sum < wanted && count < candidates_.size());
    if (sum < wanted && least > drop_below_) continue;
    candidates_.resize(count);
    return;
  }
}

int32_t Sampler::draw_of_candidates() {
  if (params_.min_p > 0.0F) {
    const auto threshold = static_cast<double>(params_.min_p);
    std::erase_if(candidates_, [&](const Candidate& candidate) { return weight(candidate.logit) < threshold; });
  }
  const double target = candidates_weight() * uniform_of_token(params_.seed, generated_tokens_);
  double sum = 0.0;
  for (const Candidate& candidate : candidates_) {
    sum += weight(candidate.logit);
    if (sum > target) return candidate.id;
  }
  return candidates_.back().id;
}

// In id order. A weight of 0 leaves every sum as it is.
int32_t Sampler::draw_of_all() {
  double total = weigh_all();
  if (params_.min_p > 0.0F) {
    const auto threshold = static_cast<double>(params_.min_p);
    total = 0.0;
    for (double& w : weights_) {
      w = w < threshold ? 0.0 : w;
      total += w;
    }
  }
  const double target = total * uniform_of_token(params_.seed, generated_tokens_);
  double sum = 0.0;
  size_t last = 0;
  for (size_t id = 0; id < weights_.size(); id++) {
    sum += weights_[id];
    if (sum > target) return static_cast<int32_t>(id);
    if (weights_[id] > 0.0) last = id;
  }
  return static_cast<int32_t>(last);
}

}  // namespace hotaru
