// Ctrl-C as a flag: while an InterruptScope lives, the first one asks the work to stop, the second one ends the
// process.
#pragma once

#include <csignal>

#include <atomic>

namespace hotaru::cli {

class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  [[nodiscard]] static const std::atomic<bool>& flag();
  [[nodiscard]] static bool interrupted() { return flag().load(std::memory_order_relaxed); }

 private:
  struct sigaction before_ {};
};

}  // namespace hotaru::cli
