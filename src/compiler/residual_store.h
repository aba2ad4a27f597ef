// The residual stream of all calibration tokens, [tokens, width] float: in memory while it is small, otherwise in a
// file without a name, so that the number of tokens does not decide how much memory an optimisation takes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace hotaru {

class ResidualStore {
 public:
  // `folder`: where a file may be made.
  static Result<ResidualStore> create(size_t tokens, size_t width, const std::string& folder);
  ResidualStore(ResidualStore&& other) noexcept;
  ResidualStore& operator=(ResidualStore&& other) = delete;
  ~ResidualStore();

  struct Range {
    size_t begin;
    size_t tokens;
  };
  // Replaces `rows` by the range's rows [tokens, width].
  Result<void> read(Range range, std::vector<float>& rows) const;
  Result<void> write(Range range, std::span<const float> rows);

  [[nodiscard]] size_t tokens() const { return tokens_; }
  [[nodiscard]] size_t width() const { return width_; }

 private:
  ResidualStore(size_t tokens, size_t width) : tokens_(tokens), width_(width) {}
  size_t tokens_, width_;
  std::vector<float> memory_;  // empty: in the file
  int descriptor_ = -1;
};

}  // namespace hotaru
