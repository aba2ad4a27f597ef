// Perplexity over segments: exp of the mean of -ln p(token | the tokens before it in its segment).
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "eval/logit_source.h"
#include "eval/segments.h"

namespace hotaru {

struct PerplexityReport {
  double perplexity = 0;
  double mean_nll = 0;  // nats a token
  int64_t tokens_scored = 0;
};

// `on_segment` after every segment, for progress. Logits that are not finite are an error.
Result<PerplexityReport> measure_perplexity(const LogitSource& source, const Segments& segments,
                                            const std::function<void()>& on_segment);

// Bits a byte of a text of `tokens` and `bytes`, had all its tokens cost the mean of those scored.
double bits_per_byte(double mean_nll, int64_t tokens, int64_t bytes);

}  // namespace hotaru
