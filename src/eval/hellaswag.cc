#include "eval/hellaswag.h"

#include <algorithm>
#include <cmath>

#include "eval/log_probability.h"

namespace hotaru {
namespace {

double characters(std::string_view utf8) {
  const auto starts = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; };
  return static_cast<double>(std::count_if(utf8.begin(), utf8.end(), starts));
}

int best_of(const EndingScores& scores) {
  return static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

Result<double> score_ending(const HellaswagModel& model, size_t context_tokens, std::vector<int32_t> ids) {
  if (context_tokens == 0 || ids.size() <= context_tokens) {
    return invalid("got {} tokens of context and {} with the ending, want at least one of each", context_tokens,
                   ids.size());
  }
  size_t first = context_tokens - 1;  // position whose logits predict the ending's first token
  const auto most = static_cast<size_t>(model.max_tokens);
  if (ids.size() - 1 > most) {
    const size_t dropped = ids.size() - 1 - most;
    ids.erase(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(dropped));
    first = first > dropped ? first - dropped : 0;
  }
  double sum = 0;
  TRY((*model.source)(std::span(ids).first(ids.size() - 1), [&](int64_t position, std::span<const float> logits) {
    const auto at = static_cast<size_t>(position);
    if (at >= first) sum += log_probability(logits, ids[at + 1]);
  }));
  if (!std::isfinite(sum)) return invalid("got logits that are not finite numbers");
  return sum;
}

// Of a mean of zeros and ones, from the sample's variance.
double standard_error(double mean, int64_t count) {
  return count > 1 ? std::sqrt(mean * (1 - mean) / static_cast<double>(count - 1)) : 0.0;
}

}  // namespace

Result<EndingScores> score_item(const HellaswagModel& model, const HellaswagItem& item) {
  TRY_ASSIGN(const std::vector<int32_t> context, model.tokenizer->encode(item.context));
  EndingScores scores{};
  for (size_t i = 0; i < scores.size(); i++) {
    TRY_ASSIGN(std::vector<int32_t> ids, model.tokenizer->encode(item.context + " " + item.endings[i]));
    TRY_ASSIGN(scores[i], score_ending(model, context.size(), std::move(ids)));
  }
  return scores;
}

Result<HellaswagReport> measure_hellaswag(const HellaswagModel& model, std::span<const HellaswagItem> items,
                                          const std::function<void()>& on_item) {
  if (items.empty()) return invalid("got no items, want at least one");
  int64_t right = 0;
  int64_t right_by_length = 0;
  for (size_t i = 0; i < items.size(); i++) {
    auto scored = score_item(model, items[i]);
    if (!scored) return at(fmt::format("item {}", i), std::move(scored).error());
    EndingScores by_length = *scored;
    for (size_t j = 0; j < by_length.size(); j++) by_length[j] /= characters(items[i].endings[j]);
    right += best_of(*scored) == items[i].label ? 1 : 0;
    right_by_length += best_of(by_length) == items[i].label ? 1 : 0;
    on_item();
  }
  HellaswagReport report;
  report.items = static_cast<int64_t>(items.size());
  report.acc = static_cast<double>(right) / static_cast<double>(report.items);
  report.acc_norm = static_cast<double>(right_by_length) / static_cast<double>(report.items);
  report.acc_stderr = standard_error(report.acc, report.items);
  report.acc_norm_stderr = standard_error(report.acc_norm, report.items);
  return report;
}

}  // namespace hotaru
