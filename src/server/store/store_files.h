// What the store does with files: links instead of copies, a lock among processes, and the remains of killed ones.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace hotaru::server {

// Held by whoever changes the store, of all processes and threads; gone with a killed process.
class StoreLock {
 public:
  static Result<StoreLock> take(const std::string& folder);
  StoreLock(StoreLock&& other) noexcept;
  StoreLock& operator=(StoreLock&& other) = delete;
  ~StoreLock();

 private:
  explicit StoreLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// What tells a file's content from another one's without reading it.
struct FileStamp {
  uint64_t device = 0, inode = 0, bytes = 0, links = 0;
  int64_t modified_ns = 0;  // Unix
  [[nodiscard]] std::string text() const;
};
// kNotFound: not there, or not a regular file.
Result<FileStamp> stamp_of(const std::string& path);

// `to` becomes the same file as `from` in one step (its bytes are copied where the file system cannot link), whatever
// was there before.
Result<void> link_or_copy(const std::string& from, const std::string& to);
// Flushed to the disk, then renamed, then the folder flushed.
Result<void> move_into_place(const std::string& from, const std::string& to);
// Nothing there is no error.
Result<void> remove_file(const std::string& path);
Result<void> write_file(const std::string& path, std::string_view text);
Result<void> make_folders(const std::string& path);
Result<std::string> sha256_of_file(const std::string& path);

// A file that a process died over: "*.PID.tmp" of a process that is gone, or any "*.tmp" that nobody wrote to for a
// day.
bool is_left_over(const std::string& path);

}  // namespace hotaru::server
