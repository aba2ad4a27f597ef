// Sizes and durations as people write them: "1.5GiB", "512MB", "4096"; "30s", "1h30m", "250ms".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hotaru {

// Bytes. Units B, KB MB GB TB (powers of 1000) and KiB MiB GiB TiB (powers of 1024), any case; K, M, G, T mean KiB, ...
// A fraction of a byte is dropped. Negative numbers, unknown units and more than 2^63 bytes are errors.
Result<uint64_t> parse_size(std::string_view text);

// "17 B", "1.50 GiB": three digits and the largest binary unit that leaves at least 1.
std::string size_text(uint64_t bytes);

// One or more numbers with units ms, s, m, h; a number alone means seconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace hotaru
