#include "genai/sampler.h"

#include <algorithm>
#include <cmath>
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
  adjusted_.resize(size);
  counts_.resize(size);
  distinct_.reserve(size);
  if (params_.temperature > 0.0F) {
    candidates_.reserve(size);
    kept_.reserve(size);
  }
}

void Sampler::skip(int32_t id) {
  CHECK(id >= 0 && static_cast<size_t>(id) < counts_.size());
  if (counts_[static_cast<size_t>(id)]++ == 0) distinct_.push_back(id);
  generated_tokens_++;
}

namespace {
bool is_allowed(std::span<const uint64_t> allowed, size_t id) {
  return id / 64 < allowed.size() && (allowed[id / 64] >> (id % 64) & 1) != 0;
}
}  // namespace

void Sampler::forbid_all_but(std::span<const uint64_t> allowed) {
  for (size_t first = 0; first < adjusted_.size(); first += 64) {
    const uint64_t word = first / 64 < allowed.size() ? allowed[first / 64] : 0;
    if (word == ~uint64_t{0}) continue;
    const size_t end = std::min(first + 64, adjusted_.size());
    for (size_t id = first; id < end; id++) {
      if ((word >> (id - first) & 1) == 0) adjusted_[id] = -kInfinity;
    }
  }
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const uint64_t> allowed) {
  CHECK_EQ(logits.size(), adjusted_.size());
  std::transform(logits.begin(), logits.end(), adjusted_.begin(), comparable);
  if (!allowed.empty()) forbid_all_but(allowed);
  adjust_generated();
  size_t best = 0;  // the lowest id among equals
  while (!allowed.empty() && !is_allowed(allowed, best)) best++;
  for (size_t id = best + 1; id < adjusted_.size(); id++) {
    if (adjusted_[id] > adjusted_[best]) best = id;
  }
  auto chosen = static_cast<int32_t>(best);
  if (params_.temperature > 0.0F && adjusted_[best] > -kInfinity) {
    keep_drawable(adjusted_[best]);
    if (params_.top_k > 0) keep_top_k();
    if (params_.top_p < 1.0F) keep_top_p();
    chosen = draw();
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
  }
  for (const LogitBias& entry : params_.logit_bias) {
    float& logit = adjusted_[static_cast<size_t>(entry.id)];
    logit = comparable(logit + entry.bias);
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

// Tokens less likely than 2^-64 of the best are left out: a draw has 53 bits.
void Sampler::keep_drawable(float best_logit) {
  best_logit_ = best_logit;
  candidates_.clear();
  const double drop_below = static_cast<double>(best_logit) - 64.0 / kLog2E * static_cast<double>(params_.temperature);
  for (size_t id = 0; id < adjusted_.size(); id++) {
    if (adjusted_[id] > -kInfinity && static_cast<double>(adjusted_[id]) >= drop_below) {
      candidates_.push_back({adjusted_[id], static_cast<int32_t>(id)});
    }
  }
}

void Sampler::move_best_to_kept() {
  std::pop_heap(candidates_.begin(), candidates_.end(), worse);
  kept_.push_back(candidates_.back());
  candidates_.pop_back();
}

void Sampler::keep_top_k() {
  const auto count = static_cast<size_t>(params_.top_k);
  if (candidates_.size() <= count) return;
  kept_.clear();
  std::make_heap(candidates_.begin(), candidates_.end(), worse);
  while (kept_.size() < count) move_best_to_kept();
  candidates_.swap(kept_);
}

double Sampler::candidates_weight() const {
  double sum = 0.0;
  for (const Candidate& candidate : candidates_) sum += weight(candidate.logit);
  return sum;
}

// The smallest set of best tokens whose probabilities add up to top_p or more; at least one.
void Sampler::keep_top_p() {
  const double wanted = candidates_weight() * static_cast<double>(params_.top_p);
  kept_.clear();
  std::make_heap(candidates_.begin(), candidates_.end(), worse);
  double sum = 0.0;
  do {
    sum += weight(candidates_.front().logit);
    move_best_to_kept();
  } while (sum < wanted && !candidates_.empty());
  candidates_.swap(kept_);
}

int32_t Sampler::draw() {
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

}  // namespace hotaru
