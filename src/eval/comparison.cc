#include "eval/comparison.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "eval/log_probability.h"

namespace hotaru {
namespace {

struct Sums {
  double reference_nll = 0, nll = 0;
  double signal = 0, noise = 0;
  int64_t agreements = 0;
  std::vector<double> kl;  // one a prediction
};

// KL(p || q) = sum_i p_i (ln p_i - ln q_i)
double divergence(std::span<const float> p, std::span<const float> q) {
  const double p_normaliser = log_normaliser(p);
  const double q_normaliser = log_normaliser(q);
  double sum = 0;
  for (size_t i = 0; i < p.size(); i++) {
    const double log_p = static_cast<double>(p[i]) - p_normaliser;
    sum += std::exp(log_p) * (log_p - (static_cast<double>(q[i]) - q_normaliser));
  }
  return sum;
}

void add_position(std::span<const float> reference, std::span<const float> other, int32_t next, Sums& sums) {
  sums.reference_nll -= log_probability(reference, next);
  sums.nll -= log_probability(other, next);
  for (size_t i = 0; i < reference.size(); i++) {
    const double value = reference[i];
    const double error = static_cast<double>(other[i]) - value;
    sums.signal += value * value;
    sums.noise += error * error;
  }
  sums.agreements += most_likely(reference) == most_likely(other) ? 1 : 0;
  sums.kl.push_back(divergence(reference, other));
}

ComparisonReport report_of(Sums& sums) {
  ComparisonReport report;
  const auto count = static_cast<double>(sums.kl.size());
  report.tokens_scored = static_cast<int64_t>(sums.kl.size());
  report.reference_perplexity = std::exp(sums.reference_nll / count);
  report.perplexity = std::exp(sums.nll / count);
  for (const double kl : sums.kl) report.mean_kl += kl / count;
  const auto rank = sums.kl.begin() + static_cast<ptrdiff_t>(0.99 * (count - 1));
  std::nth_element(sums.kl.begin(), rank, sums.kl.end());
  report.kl_p99 = *rank;
  report.top1_agreement = static_cast<double>(sums.agreements) / count;
  // Equal logits have no noise; 200 dB stands for that, since JSON has no infinity.
  report.logit_sqnr_db = sums.noise > 0 ? std::min(200.0, 10 * std::log10(sums.signal / sums.noise)) : 200.0;
  return report;
}

}  // namespace

Result<ComparisonReport> compare_models(const LogitSource& reference, const LogitSource& other,
                                        const Segments& segments, const std::function<void()>& on_segment) {
  Sums sums;
  std::vector<float> kept;  // [predictions of a segment, V] of the reference
  for (int64_t i = 0; i < segments.count(); i++) {
    const std::vector<int32_t> ids = segments.ids(i);
    const auto predictions = ids.size() - 1;
    kept.clear();
    TRY(reference(ids, [&](int64_t position, std::span<const float> logits) {
      if (static_cast<size_t>(position) < predictions) kept.insert(kept.end(), logits.begin(), logits.end());
    }));
    const size_t vocabulary = kept.size() / predictions;
    bool same_vocabulary = true;
    TRY(other(ids, [&](int64_t position, std::span<const float> logits) {
      const auto at = static_cast<size_t>(position);
      same_vocabulary = same_vocabulary && logits.size() == vocabulary;
      if (at >= predictions || !same_vocabulary) return;
      add_position(std::span(kept).subspan(at * vocabulary, vocabulary), logits, ids[at + 1], sums);
    }));
    if (!same_vocabulary) return invalid("the models differ in vocabulary, want that of the reference: {}", vocabulary);
    if (!std::isfinite(sums.nll + sums.reference_nll)) return invalid("segment {}: got logits that are not finite", i);
    on_segment();
  }
  return report_of(sums);
}

}  // namespace hotaru
