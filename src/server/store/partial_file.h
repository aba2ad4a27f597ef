// A download that may end early and go on later: a file of one writer at a time, appended to.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace hotaru::server {

class PartialFile {
 public:
  // kBusy: somebody else writes it.
  static Result<PartialFile> open(const std::string& path);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&& other) = delete;
  ~PartialFile();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  Result<void> append(std::span<const std::byte> bytes);
  Result<void> clear();
  void remove();

 private:
  PartialFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  std::string path_;
  int descriptor_;
  uint64_t bytes_ = 0;
};

}  // namespace hotaru::server
