// The tokens that static ranges are measured on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/float_executor.h"
#include "text/text_bundle.h"

namespace hotaru {

struct CalibrationOptions {
  std::vector<std::string> files;  // .txt, or .jsonl with "text" or "messages"; none: the text inside the binary
  int64_t samples = 128;           // segments, at most
  int64_t sequence = 2048;         // tokens of a segment, at most
  uint64_t seed = 0;               // of the random ids of a model without a tokenizer
};

// The model's.
struct CalibrationLimits {
  int64_t max_positions = 0;
  int64_t vocabulary = 0;
};

struct CalibrationSet {
  SegmentBatch batch;
  std::string description;  // "4 segments, 7812 tokens: shipped text (12 documents plain, 12 through the template)"
  std::vector<std::string> warnings;
};

// `text` is null for a checkpoint without a tokenizer: seeded uniform random ids, and a warning. With a chat template
// half of a plain text goes through it, since that is how the model will be used.
Result<CalibrationSet> load_calibration(const CalibrationOptions& options, const CalibrationLimits& limits,
                                        const TextBundle* text);

// At most about `most_tokens` in whole segments that lie evenly over the set, since plain text and chats lie apart in
// it.
SegmentBatch thinned(const SegmentBatch& batch, size_t most_tokens);
// Segments that begin with the graph's prefix tokens, without them: constants stand for those.
SegmentBatch without_prefix(const SegmentBatch& batch, const std::vector<int32_t>& prefix);

}  // namespace hotaru
