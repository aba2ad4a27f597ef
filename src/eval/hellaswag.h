// HellaSwag as lm-evaluation-harness scores it, 0-shot: which of four endings the model finds most likely.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "eval/logit_source.h"
#include "text/tokenizer.h"

namespace hotaru {

struct HellaswagItem {
  std::string context;
  std::array<std::string, 4> endings;
  int label = 0;
};

// JSONL of the data set (activity_label, ctx_a, ctx_b, endings, label; cleaned here as the harness does), or the form
// of six lines an item: context, label, four endings. Errors name the line.
Result<std::vector<HellaswagItem>> parse_hellaswag(std::string_view text);

using EndingScores = std::array<double, 4>;  // sums of log p

struct HellaswagReport {
  double acc = 0;       // by the ending's sum of log p
  double acc_norm = 0;  // by that sum over the ending's length in characters
  double acc_stderr = 0;
  double acc_norm_stderr = 0;
  int64_t items = 0;
  std::vector<EndingScores> scores;  // of every item
};

// The ending's tokens are those of (context + " " + ending) after the count of the context's. What is longer than
// `max_tokens` loses its beginning.
struct HellaswagModel {
  const BatchSource* source = nullptr;
  const Tokenizer* tokenizer = nullptr;
  int64_t max_tokens = 0;
};
// Scores some items together; errors count them from `first_number`.
Result<std::vector<EndingScores>> score_items(const HellaswagModel& model, std::span<const HellaswagItem> items,
                                              size_t first_number = 0);
Result<HellaswagReport> measure_hellaswag(const HellaswagModel& model, std::span<const HellaswagItem> items,
                                          const std::function<void(size_t count)>& on_items);

}  // namespace hotaru
