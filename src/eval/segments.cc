#include "eval/segments.h"

#include <algorithm>

namespace hotaru {

Result<Segments> Segments::cut(std::span<const int32_t> ids, const SegmentOptions& options) {
  if (options.segment_tokens < 2) return invalid("segment: got {} tokens, want at least 2", options.segment_tokens);
  Segments segments(ids, options);
  segments.count_ = static_cast<int64_t>(ids.size()) / segments.text_tokens();
  if (segments.count_ == 0) {
    return invalid("text: got {} tokens, want at least {}, which is one segment", ids.size(), segments.text_tokens());
  }
  if (options.limit_segments > 0) segments.count_ = std::min(segments.count_, options.limit_segments);
  return segments;
}

std::vector<int32_t> Segments::ids(int64_t index) const {
  std::vector<int32_t> segment;
  segment.reserve(static_cast<size_t>(options_.segment_tokens));
  if (options_.bos_id) segment.push_back(*options_.bos_id);
  const auto text = ids_.subspan(static_cast<size_t>(index * text_tokens()), static_cast<size_t>(text_tokens()));
  segment.insert(segment.end(), text.begin(), text.end());
  return segment;
}

}  // namespace hotaru
