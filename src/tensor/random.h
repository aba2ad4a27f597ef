// Philox4x32-10: a counter-based random generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
// The same (seed, stream, position) gives the same number on every machine, in any order, from any thread. Integers and
// exact conversions only: no std::*_distribution, whose results differ between standard libraries.
#pragma once

#include <array>
#include <cstdint>

namespace hotaru {

// One block: four words from a 128-bit counter and a 64-bit key.
using PhiloxBlock = std::array<uint32_t, 4>;
PhiloxBlock philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key);

// A sequence of numbers. Streams of one seed are independent: one per tensor, per context, per test.
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t next_u32();
  uint64_t next_u64();
  // Uniform on {0, 1, ..., 2^24 - 1} / 2^24: in [0, 1), every value exact in binary32.
  float next_uniform();
  // Uniform in [0, bound), without bias. bound > 0.
  uint32_t next_below(uint32_t bound);
  // Close to a normal distribution, mean 0, variance 1: a centred sum of 12 uniforms (|x| <= 6). Exact arithmetic on
  // every machine, which a Box-Muller by libm would not be. For synthetic weights and tests, not for statistics of
  // tails.
  float next_normal();

  // Continues at the n-th 32-bit word of the stream; position() is the next word's number. Saved with a context.
  void seek(uint64_t position) { position_ = position; }
  [[nodiscard]] uint64_t position() const { return position_; }

 private:
  uint64_t seed_;
  uint64_t stream_;
  uint64_t position_ = 0;
  PhiloxBlock block_{};
  uint64_t block_number_ = UINT64_MAX;  // whose words block_ holds
};

}  // namespace hotaru
