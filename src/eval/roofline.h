// A measured phase against the limits measured beside it, kind of call by kind of call. A kind is a call without its
// layer: "layers.0.qkv" and "layers.1.qkv" are "qkv".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/bench.h"

namespace hotaru {

struct RooflineRow {
  std::string program, call, operation;
  // Of one sample (a prompt, or one token of every context).
  double ms = 0;
  double share = 0;  // of the phase's time in calls
  double memory_bytes = 0;
  double activation_bytes = 0;
  double multiply_adds = 0;
  // The least time that the limits allow: the longer of reading the bytes and of doing the products.
  double limit_ms = 0;
  bool reads_longer = true;  // which of the two it is

  [[nodiscard]] double bytes_per_second() const { return memory_bytes / (ms / 1e3); }
  [[nodiscard]] double multiply_adds_per_second() const { return multiply_adds / (ms / 1e3); }
  [[nodiscard]] double share_of_limit() const { return limit_ms / ms; }
};

// The longest first.
std::vector<RooflineRow> roofline(const BenchPhase& phase);
// All of them together; its ms is the phase's median, not the sum of its calls.
RooflineRow roofline_total(const BenchPhase& phase);

}  // namespace hotaru
