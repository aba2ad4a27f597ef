// The byte layout that HAR, HEF and context files share. Little endian. Everything is verified when a file is opened,
// before anything is allocated from it: any flipped bit and any truncation is refused.
//
//   header   header_bytes (whole pages of 4096):
//       0    magic, 8 bytes: "HOTARUHE" (HEF), "HOTARUHA" (HAR) or "HOTARUCX" (context)
//       8    u16 major, u16 minor       an unknown major is refused, an unknown newer minor loads
//      12    u32 header_bytes           4096 * pages
//      16    u32 section count, u32 0
//      24    u64 file bytes
//      32    sections, 32 bytes each: u32 type, u32 index, u64 offset, u64 length, u64 checksum
//      ...   zeros
//    end-8   u64 XXH3-64 of all header bytes before it
//   sections, in the order of the table, each at the next multiple of 4096 behind the one before, zeros between;
//   the file ends with the last byte of the last section.
//
// A section's checksum is XXH3-64 over the list of XXH3-64s (u64 each) of its chunks of 4 MiB: a tree, so that threads
// share the work. Section types and what is inside: SectionType, hef.fbs, har.fbs, context_file.h, docs/formats.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/thread_pool.h"

namespace hotaru {

enum class FileKind { kHar, kHef, kContext };

// Numbers are part of the format: only ever added to. A reader ignores types that it does not know.
enum class SectionType : uint32_t {
  kMeta = 1,             // FlatBuffer, hef.fbs, har.fbs or context.fbs
  kWeights = 2,          // tensors of the meta, each at a multiple of 64
  kAdapter = 3,          // one per adapter (index 0, 1, ...): its tensors
  kTokenizer = 4,        // tokenizer.json
  kTokenizerConfig = 5,  // tokenizer_config.json
  kChatTemplate = 6,     // Jinja text
  kModelConfig = 7,      // the checkpoint's config.json
  kReport = 8,           // the optimiser's report, JSON
  kPages = 9,            // KV pages of a context, one behind the other
  kHostState = 10,       // bytes of whoever saved a context (a chat's messages)
};

inline constexpr uint16_t kFormatMajor = 1;
inline constexpr uint16_t kFormatMinor = 0;
inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kChecksumChunkBytes = size_t{4} << 20;

std::string_view section_name(SectionType type);  // "meta", "weights", ...; "unknown"

struct Section {
  SectionType type = SectionType::kMeta;
  uint32_t index = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t checksum = 0;
};

class Container {
 public:
  struct Options {
    ThreadPool* pool = nullptr;   // shares the checksums' work
    bool check_checksums = true;  // false only for fuzzing what lies behind them
  };
  static Result<Container> open(const std::string& path, FileKind kind, const Options& options);
  // A file that is already in memory and outlives the object.
  static Result<Container> from_bytes(std::span<const std::byte> bytes, FileKind kind, std::string_view place,
                                      const Options& options);

  [[nodiscard]] const std::vector<Section>& sections() const { return sections_; }
  [[nodiscard]] std::optional<std::span<const std::byte>> section(SectionType type, uint32_t index = 0) const;
  // A section of text; nothing if the file has none.
  [[nodiscard]] std::optional<std::string_view> text(SectionType type) const;
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] uint16_t major() const { return major_; }
  [[nodiscard]] uint16_t minor() const { return minor_; }
  // Names the file's whole content (the header's checksum covers the sections' checksums).
  [[nodiscard]] uint64_t content_hash() const { return content_hash_; }
  [[nodiscard]] const std::string& place() const { return place_; }

 private:
  MappedFile file_;
  std::string place_;
  std::span<const std::byte> bytes_;
  std::vector<Section> sections_;
  uint16_t major_ = 0;
  uint16_t minor_ = 0;
  uint64_t content_hash_ = 0;
};

// What kind of Hotaru file this is, by its magic; an error says what else it looks like.
Result<FileKind> recognise_file(std::span<const std::byte> bytes, std::string_view place);

}  // namespace hotaru
