// Files: a read-only memory map, whole-file reads, and an output that appears under its name only when it is complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hotaru {

// A whole file, mapped read-only, in large pages where the system has it in such. The mapping lives as long as the
// object; moves keep addresses.
class MappedFile {
 public:
  // Errors: kNotFound (no such file), kIo (permission, a directory, ...). An empty file maps to an empty span.
  static Result<MappedFile> open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Reads a text file of at most max_bytes (config.json, tokenizer.json, ...).
Result<std::string> read_text_file(const std::string& path, size_t max_bytes = size_t{64} << 20);

// An output file: written without a name where the file system can (a killed process then leaves nothing), otherwise to
// "<path>.<pid>.tmp" beside its destination; commit() fsyncs, names and renames it. If commit() is
// not reached (error, exception, signal handler that unwinds) the temporary is removed and the old file stays as it
// was. A failed write (full disk, read-only folder) is an error naming the path and the operating system's reason, of
// this write, a later one or commit(): bytes go to the system in whole large pages, so that its cache keeps them as
// such and who maps the file later gets them as such.
class OutputFile {
 public:
  // `may_be_unnamed` false: as on a file system that knows only named files.
  static Result<OutputFile> create(const std::string& path, bool may_be_unnamed = true);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  Result<void> write(std::span<const std::byte> bytes);
  Result<void> write(std::string_view text);
  // Overwrites bytes already written (file headers).
  Result<void> write_at(uint64_t offset, std::span<const std::byte> bytes);
  [[nodiscard]] uint64_t position() const { return position_; }
  Result<void> commit();

 private:
  OutputFile() = default;
  void discard();
  Result<void> flush();
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
  bool is_unnamed_ = false;
  uint64_t position_ = 0;
  std::vector<std::byte> pending_;  // the last bytes before position_, not yet the system's
};

// Removes the temporaries of this process's unfinished OutputFiles. Async-signal-safe; called on SIGINT and SIGTERM.
void remove_unfinished_outputs();

}  // namespace hotaru
