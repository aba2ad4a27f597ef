// What a device can do at most, measured in the same minute as what is compared with it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/thread_pool.h"
#include "tensor/isa.h"

namespace hotaru {

struct MachineLimits {
  double read_bytes_per_second = 0;     // DRAM, all threads together; 0: not known
  double multiply_adds_per_second = 0;  // 8-bit integers from registers, all threads together; 0: not known
};

// Takes some 30 ms. `bytes`: far more than the caches hold, and already in memory.
MachineLimits measure_limits(std::span<const std::byte> bytes, Isa isa, ThreadPool& pool);

// As the system names it: "AMD EPYC 9575F"; "unknown" where it does not.
std::string processor_name();

}  // namespace hotaru
