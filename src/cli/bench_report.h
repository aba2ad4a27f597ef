// What `hotaru bench` found, as JSON and as text.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "eval/bench.h"

namespace hotaru::cli {

struct BenchResult {
  std::string model;  // the path asked for
  BenchReport report;
  DeviceInfo device;
  double load_ms = 0;
  uint64_t peak_rss_bytes = 0;
};

// The contract's names (CLI), then the machine, shares of its limits and, if asked for, the profile.
Json bench_json(const BenchResult& result, bool with_profile);
// Some lines for people; with the profile, a table for every phase.
std::string bench_text(const BenchResult& result, bool with_profile);

}  // namespace hotaru::cli
