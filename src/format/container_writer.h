// Writes a HAR, a HEF or a context file section by section (layout: container.h). Never holds more than one checksum
// chunk; the same calls give the same bytes; the file appears under its name only when finish() succeeds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "format/container.h"

namespace hotaru {

class ContainerWriter {
 public:
  // Room for `max_sections` table entries is kept in the header; one page holds 126.
  static Result<ContainerWriter> create(const std::string& path, FileKind kind, size_t max_sections = 126);

  Result<void> begin_section(SectionType type, uint32_t index = 0);
  Result<void> append(std::span<const std::byte> bytes);
  Result<void> append(std::string_view text);
  // Zeros up to the next multiple of `alignment` (a power of two) from the section's start.
  Result<void> align(size_t alignment);
  // Bytes of the open section so far: where the next append lands.
  [[nodiscard]] uint64_t section_position() const { return section_bytes_; }
  Result<void> end_section();
  // begin_section, append, end_section.
  Result<void> add_section(SectionType type, uint32_t index, std::span<const std::byte> bytes);
  // Header, sync, rename.
  Result<void> finish();

 private:
  ContainerWriter(OutputFile file, FileKind kind, size_t max_sections);
  Result<void> flush_chunk();

  OutputFile file_;
  FileKind kind_;
  size_t max_sections_;
  std::vector<Section> sections_;
  bool section_open_ = false;
  uint64_t section_bytes_ = 0;
  std::vector<std::byte> chunk_;      // of the open section: not yet written
  std::vector<uint64_t> chunk_sums_;  // of the open section
};

}  // namespace hotaru
