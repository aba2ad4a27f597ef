#include "eval/perplexity.h"

#include <cmath>
#include <numbers>

#include "eval/log_probability.h"

namespace hotaru {

Result<PerplexityReport> measure_perplexity(const LogitSource& source, const Segments& segments,
                                            const std::function<void()>& on_segment) {
  double nll = 0;
  int64_t scored = 0;
  for (int64_t i = 0; i < segments.count(); i++) {
    const std::vector<int32_t> ids = segments.ids(i);
    double segment_nll = 0;
    TRY(source(ids, [&](int64_t position, std::span<const float> logits) {
      const auto next = static_cast<size_t>(position) + 1;
      if (next >= ids.size()) return;
      segment_nll -= log_probability(logits, ids[next]);
      scored++;
    }));
    if (!std::isfinite(segment_nll)) return invalid("segment {}: got logits that are not finite numbers", i);
    nll += segment_nll;
    on_segment();
  }
  PerplexityReport report;
  report.tokens_scored = scored;
  report.mean_nll = nll / static_cast<double>(report.tokens_scored);
  report.perplexity = std::exp(report.mean_nll);
  return report;
}

double bits_per_byte(double mean_nll, int64_t tokens, int64_t bytes) {
  return mean_nll * static_cast<double>(tokens) / (std::numbers::ln2 * static_cast<double>(bytes));
}

}  // namespace hotaru
