// Where the time of steps goes, call by call. The clock is read once between two calls, by the thread that begins the
// next one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hotaru {

// One call of one program, over all steps since the profile began.
struct CallProfile {
  std::string program, call, operation;  // "tbt", "layer 3 qkv", "linear_int4"
  uint64_t plays = 0;
  double seconds = 0;
  // What was to do, counted: bytes of weights, keys and values; bytes of activations; multiply-adds.
  uint64_t memory_bytes = 0;
  uint64_t activation_bytes = 0;
  uint64_t multiply_adds = 0;
};

}  // namespace hotaru
