#include "tensor/random.h"

#include "base/check.h"

namespace hotaru {
namespace {

constexpr int kRounds = 10;
constexpr uint32_t kMultiplier0 = 0xD2511F53U;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57U;
constexpr uint32_t kWeyl0 = 0x9E3779B9U;  // golden ratio
constexpr uint32_t kWeyl1 = 0xBB67AE85U;  // sqrt(3) - 1

constexpr uint32_t low_word(uint64_t value) { return static_cast<uint32_t>(value); }
constexpr uint32_t high_word(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

PhiloxBlock philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < kRounds; round++) {
    const uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {high_word(product1) ^ counter[1] ^ key[0], low_word(product1), high_word(product0) ^ counter[3] ^ key[1],
               low_word(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

uint32_t Random::next_u32() {
  const uint64_t number = position_ / 4;
  if (number != block_number_) {
    block_ = philox4x32({low_word(number), high_word(number), low_word(stream_), high_word(stream_)},
                        {low_word(seed_), high_word(seed_)});
    block_number_ = number;
  }
  return block_[position_++ % 4];
}

uint64_t Random::next_u64() {
  const uint64_t low = next_u32();
  return low | (static_cast<uint64_t>(next_u32()) << 32);
}

float Random::next_uniform() { return static_cast<float>(next_u32() >> 8) * 0x1p-24F; }

uint32_t Random::next_below(uint32_t bound) {
  CHECK_GT(bound, 0U);
  // Lemire, "Fast random integer generation in an interval", 2019: words in the first (2^32 mod bound) of a part are
  // redrawn.
  const uint32_t redraw_below = (0U - bound) % bound;
  while (true) {
    const uint64_t product = uint64_t{next_u32()} * bound;
    if (low_word(product) >= redraw_below) return high_word(product);
  }
}

float Random::next_normal() {
  // 16 bits each: the sum of twelve is an exact integer, and so is its distance from the mean 6 * 65535.
  int32_t sum = 0;
  for (int i = 0; i < 6; i++) {
    const uint32_t word = next_u32();
    sum += static_cast<int32_t>(word & 0xFFFFU) + static_cast<int32_t>(word >> 16);
  }
  return static_cast<float>(sum - 6 * 65535) * 0x1p-16F;
}

}  // namespace hotaru
