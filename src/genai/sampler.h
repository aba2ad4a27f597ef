// Chooses the next token, the same one on every machine (docs/numerics.md, 6): own random numbers, own exponential,
// sums in a fixed order, equal logits ordered by token id.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "genai/sampling_params.h"

namespace hotaru {

// One reply's sampler. Its whole state is (seed, the ids generated so far): the n-th token uses block n of the Philox
// generator keyed by the seed. Order of the steps, as in Hugging Face transformers:
//   token mask, repetition penalty, additive penalties, logit bias, temperature, top-k, top-p, min-p, draw.
// Nothing is allocated after construction.
class Sampler {
 public:
  // `params` must have passed check_sampling_params.
  Sampler(const SamplingParams& params, int vocabulary);

  // logits[V] of the next position -> the token's id. NaN counts as -infinity; if nothing is above -infinity: the
  // lowest allowed id. `allowed` as of TokenMask::allowed, with at least one id; empty: all are.
  int32_t sample(std::span<const float> logits, std::span<const uint64_t> allowed = {});

  // Counts a token that was not sampled here as generated: to go on in the middle of a reply.
  void skip(int32_t id);

  [[nodiscard]] uint64_t generated_tokens() const { return generated_tokens_; }

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  static bool worse(const Candidate& a, const Candidate& b);
  void take(std::span<const float> logits);
  void look_again(size_t block);
  [[nodiscard]] int32_t first_best() const;
  void forbid_all_but(std::span<const uint64_t> allowed);
  void adjust_generated();
  [[nodiscard]] double weight(float logit) const;
  [[nodiscard]] bool is_drawable(float logit) const { return static_cast<double>(logit) >= drop_below_; }
  double weigh_all();
  void find_top_k();
  void find_above(double least_logit);
  void find_top_p(double wanted);
  void keep_top_p();
  [[nodiscard]] double candidates_weight() const;
  int32_t draw_of_all();
  int32_t draw_of_candidates();

  SamplingParams params_;
  uint64_t generated_tokens_ = 0;
  std::vector<float> adjusted_;        // [V, padded] logits after penalties and bias
  std::vector<float> block_best_;      // the largest of each 16 of them
  std::vector<double> weights_;        // [V, padded] of tokens that can be drawn, 0 of the others; without top-k only
  std::vector<Candidate> candidates_;  // what top-k or top-p left, best first; in id order if top-k left everything
  std::vector<int32_t> counts_;        // [V] occurrences in this reply
  std::vector<int32_t> distinct_;      // ids with a count
  float best_logit_ = 0.0F;
  double drop_below_ = 0.0;  // logits of tokens less likely than 2^-64 of the best: a draw has 53 bits
};

}  // namespace hotaru
