#include "eval/hellaswag.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "eval/log_probability.h"

namespace hotaru {
namespace {

constexpr size_t kItemsTogether = 8;  // their endings make a batch that keeps a float model's matrix products busy

double characters(std::string_view utf8) {
  const auto starts = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; };
  return static_cast<double>(std::count_if(utf8.begin(), utf8.end(), starts));
}

int best_of(const EndingScores& scores) {
  return static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

// An ending behind its context: what the model plays, and what is scored of it.
struct Ending {
  Sequence sequence;         // all tokens but the last
  std::vector<int32_t> ids;  // next tokens, by position
};

Result<Ending> make_ending(const HellaswagModel& model, size_t context_tokens, std::vector<int32_t> ids) {
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
  Ending ending;
  ending.sequence = {{ids.begin(), ids.end() - 1}, static_cast<int64_t>(first)};
  ending.ids.assign(ids.begin() + 1, ids.end());
  return ending;
}

Result<std::array<Ending, 4>> endings_of(const HellaswagModel& model, const HellaswagItem& item) {
  TRY_ASSIGN(const std::vector<int32_t> context, model.tokenizer->encode(item.context));
  std::array<Ending, 4> endings;
  for (size_t i = 0; i < endings.size(); i++) {
    TRY_ASSIGN(std::vector<int32_t> ids, model.tokenizer->encode(item.context + " " + item.endings[i]));
    TRY_ASSIGN(endings[i], make_ending(model, context.size(), std::move(ids)));
  }
  return endings;
}

// Of a mean of zeros and ones, from the sample's variance.
double standard_error(double mean, int64_t count) {
  return count > 1 ? std::sqrt(mean * (1 - mean) / static_cast<double>(count - 1)) : 0.0;
}

}  // namespace

Result<std::vector<EndingScores>> score_items(const HellaswagModel& model, std::span<const HellaswagItem> items,
                                              size_t first_number) {
  std::vector<Ending> endings;
  std::vector<Sequence> sequences;
  for (size_t i = 0; i < items.size(); i++) {
    auto made = endings_of(model, items[i]);
    if (!made) return at(fmt::format("item {}", first_number + i), std::move(made).error());
    for (Ending& ending : *made) {
      sequences.push_back(std::move(ending.sequence));
      endings.push_back(std::move(ending));
    }
  }
  std::vector<EndingScores> scores(items.size());
  TRY((*model.source)(sequences, [&](size_t sequence, int64_t position, std::span<const float> logits) {
    scores[sequence / 4][sequence % 4] += log_probability(logits, endings[sequence].ids[static_cast<size_t>(position)]);
  }));
  for (size_t i = 0; i < scores.size(); i++) {
    const bool is_finite = std::ranges::all_of(scores[i], [](double score) { return std::isfinite(score); });
    if (!is_finite) return invalid("item {}: got logits that are not finite numbers", first_number + i);
  }
  return scores;
}

Result<HellaswagReport> measure_hellaswag(const HellaswagModel& model, std::span<const HellaswagItem> items,
                                          const std::function<void(size_t)>& on_items) {
  if (items.empty()) return invalid("got no items, want at least one");
  HellaswagReport report;
  int64_t right = 0;
  int64_t right_by_length = 0;
  for (size_t first = 0; first < items.size(); first += kItemsTogether) {
    const auto some = items.subspan(first, std::min(kItemsTogether, items.size() - first));
    TRY_ASSIGN(const std::vector<EndingScores> scores, score_items(model, some, first));
    for (size_t i = 0; i < some.size(); i++) {
      EndingScores by_length = scores[i];
      for (size_t j = 0; j < by_length.size(); j++) by_length[j] /= characters(some[i].endings[j]);
      right += best_of(scores[i]) == some[i].label ? 1 : 0;
      right_by_length += best_of(by_length) == some[i].label ? 1 : 0;
      report.scores.push_back(scores[i]);
    }
    on_items(some.size());
  }
  report.items = static_cast<int64_t>(items.size());
  report.acc = static_cast<double>(right) / static_cast<double>(report.items);
  report.acc_norm = static_cast<double>(right_by_length) / static_cast<double>(report.items);
  report.acc_stderr = standard_error(report.acc, report.items);
  report.acc_norm_stderr = standard_error(report.acc_norm, report.items);
  return report;
}

}  // namespace hotaru
