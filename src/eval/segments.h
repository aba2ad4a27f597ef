// A long text cut into segments for evaluation (QUANTISATION 6): one after the other, each starting fresh, the tail
// that fills none dropped.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace hotaru {

struct SegmentOptions {
  int64_t segment_tokens = 2048;       // that the model sees, BOS included
  int64_t limit_segments = 0;          // 0: all
  std::optional<int32_t> bos_id = {};  // in front of every segment
};

class Segments {
 public:
  // `ids` must outlive the object. An error when they do not fill one segment.
  static Result<Segments> cut(std::span<const int32_t> ids, const SegmentOptions& options);

  [[nodiscard]] int64_t count() const { return count_; }
  [[nodiscard]] int64_t tokens() const { return options_.segment_tokens; }
  // Every token of a segment but its first is predicted.
  [[nodiscard]] int64_t predictions() const { return count_ * (options_.segment_tokens - 1); }
  [[nodiscard]] std::vector<int32_t> ids(int64_t index) const;

 private:
  Segments(std::span<const int32_t> ids, const SegmentOptions& options) : ids_(ids), options_(options) {}
  [[nodiscard]] int64_t text_tokens() const { return options_.segment_tokens - (options_.bos_id ? 1 : 0); }
  std::span<const int32_t> ids_;
  SegmentOptions options_;
  int64_t count_ = 0;
};

}  // namespace hotaru
