// For tests: what of its files the kernel counts as this process' memory.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace hotaru {

inline int64_t resident_file_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0;
  int64_t resident = 0;
  int64_t shared = 0;
  statm >> size >> resident >> shared;
  return shared * ::sysconf(_SC_PAGESIZE);
}

}  // namespace hotaru
