// Sums the second moments that GPTQ wants, chunk of tokens by chunk. The same for any number of threads.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace hotaru {

class MomentSum {
 public:
  MomentSum(size_t inputs, size_t outputs_with_residual, ThreadPool* pool);

  // Rows of one chunk: x of the float model, u of the quantised one [T, K]; residual: r - r_q [T, N], where N > 0.
  struct Rows {
    std::span<const float> exact;
    std::span<const float> quantised;
    std::span<const float> residual;
  };
  void add(const Rows& rows);
  // Turns sums into means; nothing can be added any more.
  void finish();

  [[nodiscard]] std::span<const float> quantised() const { return quantised_; }  // H [K, K]
  [[nodiscard]] std::span<const float> cross() const { return cross_; }          // G [K, K]
  [[nodiscard]] std::span<const float> residual() const { return residual_; }    // R [N, K]
  [[nodiscard]] size_t tokens() const { return tokens_; }
  [[nodiscard]] size_t outputs() const { return outputs_; }  // N

 private:
  size_t inputs_;
  size_t outputs_;
  ThreadPool* pool_;
  size_t tokens_ = 0;
  std::vector<float> quantised_, cross_, residual_;
};

}  // namespace hotaru
