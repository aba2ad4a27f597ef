#include "format/container.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // XXH3 in the widest registers that the CPU has: twice as fast or more, the same sums
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <atomic>
#include <bit>
#include <functional>

#include "format/container_layout.h"

namespace hotaru {
namespace {

static_assert(std::endian::native == std::endian::little, "file fields are read as they lie");

bool starts_with(std::span<const std::byte> bytes, std::string_view magic, size_t offset = 0) {
  return bytes.size() >= offset + magic.size() && std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
}

std::string_view kind_name(FileKind kind) {
  if (kind == FileKind::kContext) return "context file";
  return kind == FileKind::kHef ? "HEF" : "HAR";
}

// Hailo's formats share the names HEF and HAR: whoever has such a file deserves to hear it.
Error foreign_file(std::span<const std::byte> bytes, std::string_view place) {
  using std::string_view_literals::operator""sv;
  constexpr size_t kTarMagicAt = 257;
  if (starts_with(bytes, "\x01HEF"sv)) {
    return not_supported("{}: this is a HEF made for Hailo's chips; Hotaru's HEF is a format of its own", place);
  }
  if (starts_with(bytes, "ustar"sv, kTarMagicAt) || starts_with(bytes, "\x1f\x8b"sv)) {
    return not_supported("{}: this is an archive, as Hailo's HAR files are; Hotaru's HAR is a format of its own",
                         place);
  }
  return invalid("{}: neither a HEF nor a HAR nor a context file of Hotaru", place);
}

struct Header {
  uint16_t major = 0;
  uint16_t minor = 0;
  uint64_t header_bytes = 0;
  uint64_t checksum = 0;
  std::vector<Section> sections;
};

// Everything about the header page that does not need the sections.
Result<Header> read_header(std::span<const std::byte> bytes, std::string_view place, bool check_checksum) {
  const auto truncated = [&](uint64_t want) {
    return invalid("{}: truncated: got {} bytes, want {}", place, bytes.size(), want);
  };
  Header header;
  if (bytes.size() < kPageBytes) return truncated(kPageBytes);
  header.major = load_field<uint16_t>(bytes, kMajorAt);
  header.minor = load_field<uint16_t>(bytes, kMinorAt);
  if (header.major != kFormatMajor) {
    return not_supported("{}: got format version {}.{}, want {}.x", place, header.major, header.minor, kFormatMajor);
  }
  header.header_bytes = load_field<uint32_t>(bytes, kHeaderBytesAt);
  const uint64_t count = load_field<uint32_t>(bytes, kSectionCountAt);
  if (count > kMaxSections || header.header_bytes < header_bytes_for(count) || header.header_bytes % kPageBytes != 0) {
    return invalid("{}: the header is damaged: {} bytes for {} sections", place, header.header_bytes, count);
  }
  if (bytes.size() < header.header_bytes) return truncated(header.header_bytes);
  const auto covered = bytes.first(header.header_bytes - kHeaderChecksumBytes);
  header.checksum = load_field<uint64_t>(bytes, covered.size());
  if (check_checksum && checksum_of(covered) != header.checksum) {
    return invalid("{}: the header is damaged: its checksum is wrong", place);
  }
  const auto file_bytes = load_field<uint64_t>(bytes, kFileBytesAt);
  if (bytes.size() < file_bytes) return truncated(file_bytes);
  if (bytes.size() > file_bytes) {
    return invalid("{}: {} bytes follow the file's end at {}", place, bytes.size() - file_bytes, file_bytes);
  }
  for (size_t i = 0; i < count; i++) {
    const size_t entry = kTableAt + i * kEntryBytes;
    header.sections.push_back({static_cast<SectionType>(load_field<uint32_t>(bytes, entry)),
                               load_field<uint32_t>(bytes, entry + 4), load_field<uint64_t>(bytes, entry + 8),
                               load_field<uint64_t>(bytes, entry + 16), load_field<uint64_t>(bytes, entry + 24)});
  }
  return header;
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

// Sections follow each other without overlap, with nothing but zeros between them, to the end of the file.
Result<void> check_table(const Header& header, std::span<const std::byte> bytes, std::string_view place) {
  uint64_t end = header.header_bytes;
  const size_t table_end = kTableAt + header.sections.size() * kEntryBytes;
  if (load_field<uint32_t>(bytes, kReservedAt) != 0 ||
      !all_zero(bytes.subspan(table_end, end - kHeaderChecksumBytes - table_end))) {
    return invalid("{}: the header is damaged: unused bytes are not zero", place);
  }
  for (size_t i = 0; i < header.sections.size(); i++) {
    const Section& section = header.sections[i];
    const uint64_t want = round_up(end, kPageBytes);
    const auto wrong = [&](const std::string& what) {
      return invalid("{}: section {} ({} {}): {}", place, i, section_name(section.type), section.index, what);
    };
    if (section.offset != want) return wrong(fmt::format("starts at byte {}, want {}", section.offset, want));
    if (want > bytes.size() || section.length > bytes.size() - want) {
      return wrong(fmt::format("{} bytes from {} lie outside the file of {}", section.length, want, bytes.size()));
    }
    if (!all_zero(bytes.subspan(end, want - end))) return wrong("the padding before it is not zero");
    for (size_t j = 0; j < i; j++) {
      if (header.sections[j].type == section.type && header.sections[j].index == section.index) {
        return wrong(fmt::format("appears twice, first as section {}", j));
      }
    }
    end = want + section.length;
  }
  if (end != bytes.size()) return invalid("{}: the last section ends at {}, the file at {}", place, end, bytes.size());
  return {};
}

// Chunks of all sections in one list, taken by whichever thread is free.
Result<void> check_sections(const Header& header, std::span<const std::byte> bytes, std::string_view place,
                            ThreadPool* pool) {
  std::vector<std::span<const std::byte>> chunks;
  for (const Section& section : header.sections) {
    for (uint64_t done = 0; done < section.length; done += kChecksumChunkBytes) {
      chunks.push_back(bytes.subspan(section.offset + done, std::min(section.length - done, kChecksumChunkBytes)));
    }
  }
  std::vector<uint64_t> sums(chunks.size());
  std::atomic<size_t> next{0};
  const std::function<void(Slice)> job = [&](Slice) {
    for (size_t i = next.fetch_add(1); i < chunks.size(); i = next.fetch_add(1)) sums[i] = checksum_of(chunks[i]);
  };
  if (pool != nullptr && chunks.size() > 1) {
    pool->run(job);
  } else {
    job(Slice{});
  }
  size_t first = 0;
  for (const Section& section : header.sections) {
    const size_t count = (section.length + kChecksumChunkBytes - 1) / kChecksumChunkBytes;
    if (checksum_of_chunks(std::span(sums).subspan(first, count)) != section.checksum) {
      return invalid("{}: section '{}' {} is damaged: its checksum is wrong", place, section_name(section.type),
                     section.index);
    }
    first += count;
  }
  return {};
}

}  // namespace

uint64_t checksum_of(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t checksum_of_chunks(std::span<const uint64_t> chunks) { return checksum_of(std::as_bytes(chunks)); }

std::string_view section_name(SectionType type) {
  switch (type) {
    case SectionType::kMeta:
      return "meta";
    case SectionType::kWeights:
      return "weights";
    case SectionType::kAdapter:
      return "adapter";
    case SectionType::kTokenizer:
      return "tokenizer";
    case SectionType::kTokenizerConfig:
      return "tokenizer config";
    case SectionType::kChatTemplate:
      return "chat template";
    case SectionType::kModelConfig:
      return "model config";
    case SectionType::kReport:
      return "report";
    case SectionType::kPages:
      return "pages";
    case SectionType::kHostState:
      return "host state";
  }
  return "unknown";
}

Result<FileKind> recognise_file(std::span<const std::byte> bytes, std::string_view place) {
  if (starts_with(bytes, magic_of(FileKind::kHef))) return FileKind::kHef;
  if (starts_with(bytes, magic_of(FileKind::kHar))) return FileKind::kHar;
  if (starts_with(bytes, magic_of(FileKind::kContext))) return FileKind::kContext;
  return foreign_file(bytes, place);
}

Result<Container> Container::from_bytes(std::span<const std::byte> bytes, FileKind kind, std::string_view place,
                                        const Options& options) {
  TRY_ASSIGN(const FileKind found, recognise_file(bytes, place));
  if (found != kind) {
    return invalid("{}: got a {}, want a {}{}", place, kind_name(found), kind_name(kind),
                   kind == FileKind::kHef && found == FileKind::kHar ? " (hotaru compile makes one from it)" : "");
  }
  TRY_ASSIGN(Header header, read_header(bytes, place, options.check_checksums));
  TRY(check_table(header, bytes, place));
  if (options.check_checksums) TRY(check_sections(header, bytes, place, options.pool));
  Container container;
  container.place_ = place;
  container.bytes_ = bytes;
  container.sections_ = std::move(header.sections);
  container.major_ = header.major;
  container.minor_ = header.minor;
  container.content_hash_ = header.checksum;
  return container;
}

Result<Container> Container::open(const std::string& path, FileKind kind, const Options& options) {
  TRY_ASSIGN(MappedFile file, MappedFile::open(path));
  TRY_ASSIGN(Container container, from_bytes(file.bytes(), kind, path, options));
  container.file_ = std::move(file);
  return container;
}

std::optional<std::span<const std::byte>> Container::section(SectionType type, uint32_t index) const {
  for (const Section& section : sections_) {
    if (section.type == type && section.index == index) return bytes_.subspan(section.offset, section.length);
  }
  return std::nullopt;
}

std::optional<std::string_view> Container::text(SectionType type) const {
  const auto found = section(type);
  if (!found) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(found->data()), found->size());
}

}  // namespace hotaru
