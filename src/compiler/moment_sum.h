// Sums the second moments that GPTQ wants, chunk of tokens by chunk. The same for any number of threads.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace hotaru {

class MomentSum {
 public:
  // `errors` E: the width of what is correlated with u.
  MomentSum(size_t inputs, size_t errors, ThreadPool* pool);

  // One chunk: u of the quantised model [T, K], and what its rows have the wrong way [T, E].
  void add(std::span<const float> quantised, std::span<const float> error);
  // Turns sums into means and fills H's lower triangle; nothing can be added any more.
  void finish();

  [[nodiscard]] std::span<const float> quantised() const { return quantised_; }  // H [K, K]
  [[nodiscard]] std::span<const float> error() const { return error_; }          // [E, K] mean error_i u_j
  [[nodiscard]] size_t tokens() const { return tokens_; }
  [[nodiscard]] size_t errors() const { return errors_; }

 private:
  size_t inputs_;
  size_t errors_;
  ThreadPool* pool_;
  size_t tokens_ = 0;
  std::vector<float> quantised_, error_;
};

}  // namespace hotaru
