#include "compiler/moment_sum.h"

#include <algorithm>

#include "base/check.h"
#include "compiler/float_ops.h"

namespace hotaru {
namespace {

constexpr size_t kMirrorTile = 64;

}  // namespace

MomentSum::MomentSum(size_t inputs, size_t errors, ThreadPool* pool)
    : inputs_(inputs), errors_(errors), pool_(pool), quantised_(inputs * inputs), error_(errors * inputs) {}

void MomentSum::add(std::span<const float> quantised, std::span<const float> error) {
  const size_t tokens = quantised.size() / inputs_;
  CHECK_EQ(error.size(), tokens * errors_);
  const float* u = quantised.data();
  add_outer_products(*pool_, {.a = u,
                              .b = u,
                              .sum = quantised_.data(),
                              .rows = tokens,
                              .m = inputs_,
                              .n = inputs_,
                              .upper_triangle_only = true});
  if (errors_ > 0) {
    add_outer_products(*pool_,
                       {.a = error.data(), .b = u, .sum = error_.data(), .rows = tokens, .m = errors_, .n = inputs_});
  }
  tokens_ += tokens;
}

void MomentSum::finish() {
  const float factor = tokens_ > 0 ? 1.0F / static_cast<float>(tokens_) : 0.0F;
  for (float& sum : error_) sum *= factor;
  const size_t tiles = (inputs_ + kMirrorTile - 1) / kMirrorTile;
  for_each_task(*pool_, tiles, [&](size_t tile, int) {
    for (size_t i = tile * kMirrorTile; i < std::min(inputs_, (tile + 1) * kMirrorTile); i++) {
      for (size_t j = i; j < inputs_; j++) quantised_[i * inputs_ + j] *= factor;
    }
  });
  // By square tiles: whole columns of a large matrix would miss the cache with every step.
  for_each_task(*pool_, tiles * tiles, [&](size_t task, int) {
    const size_t row = task / tiles * kMirrorTile;
    const size_t column = task % tiles * kMirrorTile;
    for (size_t i = row; i < std::min(inputs_, row + kMirrorTile); i++) {
      for (size_t j = column; j < std::min(i, column + kMirrorTile); j++) {
        quantised_[i * inputs_ + j] = quantised_[j * inputs_ + i];
      }
    }
  });
}

}  // namespace hotaru
