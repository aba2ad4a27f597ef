// What calls of the operating system need around them: a descriptor that closes itself, errors with path and reason.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <string>

#include "base/result.h"

namespace hotaru {

inline constexpr size_t kLargePageBytes = size_t{2} << 20;

// `code` is errno's. kNotFound for a path that is not there, kIo otherwise: "models/a.hef: cannot open: ...".
Error system_error(const std::string& path, const char* doing, int code);

struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

// Of a path without a slash: ".".
std::string folder_of(const std::string& path);

// Syncs the folder that `path` is in: without it a rename can be lost in a power failure although the file's data is
// safe. Some file systems cannot sync a folder; the file itself is complete either way.
void sync_folder_of(const std::string& path);

}  // namespace hotaru
