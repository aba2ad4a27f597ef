#include "cli/interrupt.h"

#include <cstdlib>

namespace hotaru::cli {
namespace {

std::atomic<bool> interrupt_flag = false;
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

void on_interrupt(int signal) {
  if (interrupt_flag.exchange(true, std::memory_order_relaxed)) std::_Exit(128 + signal);
}

}  // namespace

InterruptScope::InterruptScope() {
  interrupt_flag = false;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;  // a piece of the reply that is being written is written whole
  sigaction(SIGINT, &action, &before_);
}

InterruptScope::~InterruptScope() { sigaction(SIGINT, &before_, nullptr); }

const std::atomic<bool>& InterruptScope::flag() { return interrupt_flag; }

}  // namespace hotaru::cli
