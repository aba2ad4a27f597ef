// Which tokens may come next: what a grammar (JSON, a schema) says about a reply. The interface only.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace hotaru {

// Of one reply; used by one thread at a time. begin() is called before the device computes the next token, allowed()
// when its logits are there: a mask that takes long works in between, on a thread of its own.
class TokenMask {
 public:
  virtual ~TokenMask() = default;
  // The ids generated so far in this reply: one more than at the last call, or, at the first call of a reply that is
  // resumed, all of them. Valid until allowed() has returned.
  virtual void begin(std::span<const int32_t> generated) = 0;
  // The tokens that may follow those of begin(): id i if bit i % 64 of word i / 64 is set; [(V + 63) / 64], valid until
  // the next begin(). Ids beyond the last word are forbidden. Nothing allowed ends the reply (kLogicalEnd); an error
  // makes it fail.
  virtual Result<std::span<const uint64_t>> allowed() = 0;
};

}  // namespace hotaru
