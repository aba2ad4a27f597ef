// The memory that a device may take when nobody says how much.
#pragma once

#include <cstdint>

namespace hotaru {

uint64_t machine_memory_bytes();

}  // namespace hotaru
