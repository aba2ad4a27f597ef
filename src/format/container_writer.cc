#include "format/container_writer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "format/container_layout.h"

namespace hotaru {

Result<ContainerWriter> ContainerWriter::create(const std::string& path, FileKind kind, size_t max_sections) {
  CHECK_LE(max_sections, kMaxSections);
  TRY_ASSIGN(OutputFile file, OutputFile::create(path));
  ContainerWriter writer(std::move(file), kind, max_sections);
  TRY(writer.file_.write(std::vector<std::byte>(header_bytes_for(max_sections))));
  return writer;
}

ContainerWriter::ContainerWriter(OutputFile file, FileKind kind, size_t max_sections)
    : file_(std::move(file)), kind_(kind), max_sections_(max_sections) {}

Result<void> ContainerWriter::begin_section(SectionType type, uint32_t index) {
  CHECK(!section_open_);
  CHECK_LT(sections_.size(), max_sections_);
  const uint64_t offset = round_up(file_.position(), kPageBytes);
  TRY(file_.write(std::vector<std::byte>(offset - file_.position())));
  sections_.push_back({type, index, offset, 0, 0});
  section_open_ = true;
  section_bytes_ = 0;
  return {};
}

Result<void> ContainerWriter::append(std::span<const std::byte> bytes) {
  CHECK(section_open_);
  section_bytes_ += bytes.size();
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), kChecksumChunkBytes - chunk_.size());
    chunk_.insert(chunk_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (chunk_.size() == kChecksumChunkBytes) TRY(flush_chunk());
  }
  return {};
}

Result<void> ContainerWriter::append(std::string_view text) { return append(std::as_bytes(std::span(text))); }

Result<void> ContainerWriter::align(size_t alignment) {
  return append(std::vector<std::byte>(round_up(section_bytes_, alignment) - section_bytes_));
}

Result<void> ContainerWriter::flush_chunk() {
  chunk_sums_.push_back(checksum_of(chunk_));
  TRY(file_.write(chunk_));
  chunk_.clear();
  return {};
}

Result<void> ContainerWriter::end_section() {
  CHECK(section_open_);
  if (!chunk_.empty()) TRY(flush_chunk());
  sections_.back().length = section_bytes_;
  sections_.back().checksum = checksum_of_chunks(chunk_sums_);
  chunk_sums_.clear();
  section_open_ = false;
  return {};
}

Result<void> ContainerWriter::add_section(SectionType type, uint32_t index, std::span<const std::byte> bytes) {
  TRY(begin_section(type, index));
  TRY(append(bytes));
  return end_section();
}

Result<void> ContainerWriter::finish() {
  CHECK(!section_open_);
  std::vector<std::byte> header(header_bytes_for(max_sections_));
  std::memcpy(header.data(), magic_of(kind_).data(), kMagicBytes);
  store_field(std::span(header), kMajorAt, kFormatMajor);
  store_field(std::span(header), kMinorAt, kFormatMinor);
  store_field(std::span(header), kHeaderBytesAt, static_cast<uint32_t>(header.size()));
  store_field(std::span(header), kSectionCountAt, static_cast<uint32_t>(sections_.size()));
  store_field(std::span(header), kFileBytesAt, file_.position());
  for (size_t i = 0; i < sections_.size(); i++) {
    const size_t entry = kTableAt + i * kEntryBytes;
    store_field(std::span(header), entry, static_cast<uint32_t>(sections_[i].type));
    store_field(std::span(header), entry + 4, sections_[i].index);
    store_field(std::span(header), entry + 8, sections_[i].offset);
    store_field(std::span(header), entry + 16, sections_[i].length);
    store_field(std::span(header), entry + 24, sections_[i].checksum);
  }
  const auto covered = std::span<const std::byte>(header).first(header.size() - kHeaderChecksumBytes);
  store_field(std::span(header), covered.size(), checksum_of(covered));
  TRY(file_.write_at(0, header));
  return file_.commit();
}

}  // namespace hotaru
