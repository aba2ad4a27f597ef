// What every measure here works on: something that gives logits for tokens. A float checkpoint and a HEF are both one;
// the command line makes them (cli/logit_models.h), because this folder sees neither compiler nor model.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"

namespace hotaru {

// Sees the logits [V] after position 0, 1, ... of one sequence, in order; later ones only from a HEF whose prefix the
// sequence begins with.
using PositionSink = std::function<void(int64_t position, std::span<const float> logits)>;
// Plays one fresh sequence.
using LogitSource = std::function<Result<void>(std::span<const int32_t> ids, const PositionSink& sink)>;

// One of several sequences played together; logits are shown from position `first` on.
struct Sequence {
  std::vector<int32_t> ids;
  int64_t first = 0;
};
using SequenceSink = std::function<void(size_t sequence, int64_t position, std::span<const float> logits)>;
// Plays fresh sequences, one after the other or side by side. What one's beginning has in common with another's, up to
// where logits are wanted, need not be played again. The logits are those of each sequence played alone: to the bit for
// a HEF, to rounding for a float model.
using BatchSource = std::function<Result<void>(std::span<const Sequence> sequences, const SequenceSink& sink)>;

// Tokens at the beginning of `sequence` that need not be played when `other` has been.
inline size_t shared_tokens(const Sequence& other, const Sequence& sequence) {
  const auto ends = std::mismatch(other.ids.begin(), other.ids.end(), sequence.ids.begin(), sequence.ids.end());
  return static_cast<size_t>(std::min<int64_t>(ends.second - sequence.ids.begin(), sequence.first));
}

}  // namespace hotaru
