// Field positions and checksums of container.h's layout, shared by its reader and its writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "format/container.h"

namespace hotaru {

inline constexpr size_t kMagicBytes = 8;
inline constexpr size_t kMajorAt = 8;
inline constexpr size_t kMinorAt = 10;
inline constexpr size_t kHeaderBytesAt = 12;
inline constexpr size_t kSectionCountAt = 16;
inline constexpr size_t kReservedAt = 20;
inline constexpr size_t kFileBytesAt = 24;
inline constexpr size_t kTableAt = 32;
inline constexpr size_t kEntryBytes = 32;
inline constexpr size_t kHeaderChecksumBytes = 8;
inline constexpr size_t kMaxSections = 4096;

constexpr std::string_view magic_of(FileKind kind) {
  if (kind == FileKind::kContext) return "HOTARUCX";
  return kind == FileKind::kHef ? "HOTARUHE" : "HOTARUHA";
}

constexpr uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Whole pages for a table of `sections` entries.
constexpr uint64_t header_bytes_for(uint64_t sections) {
  return round_up(kTableAt + sections * kEntryBytes + kHeaderChecksumBytes, kPageBytes);
}

template <typename T>
T load_field(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}
template <typename T>
void store_field(std::span<std::byte> bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

// XXH3-64 of one chunk or header.
uint64_t checksum_of(std::span<const std::byte> bytes);
// A section's checksum from those of its chunks.
uint64_t checksum_of_chunks(std::span<const uint64_t> chunks);

}  // namespace hotaru
