// A quantised model beside its float reference on the same segments: far less noisy than two perplexities.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "eval/logit_source.h"
#include "eval/segments.h"

namespace hotaru {

struct ComparisonReport {
  double reference_perplexity = 0;
  double perplexity = 0;
  double mean_kl = 0;  // nats, of the reference's distribution from the other's
  double kl_p99 = 0;
  double top1_agreement = 0;
  double logit_sqnr_db = 0;
  int64_t tokens_scored = 0;
};

// Holds the logits of one segment.
Result<ComparisonReport> compare_models(const LogitSource& reference, const LogitSource& other,
                                        const Segments& segments, const std::function<void()>& on_segment);

}  // namespace hotaru
