// A request's body on its way to a file: temporary, and removed with this object unless it was renamed meanwhile.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hotaru::server {

class BodyFile {
 public:
  static Result<std::shared_ptr<BodyFile>> create(const std::string& folder);
  BodyFile(const BodyFile&) = delete;
  BodyFile& operator=(const BodyFile&) = delete;
  ~BodyFile();

  // kNoMemory: the disk is full.
  Result<void> write(std::string_view bytes);
  // No more comes. The file stays.
  Result<void> close();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  BodyFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  std::string path_;
  int descriptor_;
};

}  // namespace hotaru::server
