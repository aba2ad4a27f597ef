#include "base/posix.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

namespace hotaru {

Error system_error(const std::string& path, const char* doing, int code) {
  const bool missing = code == ENOENT || code == ENOTDIR;
  return make_error(missing ? ErrorKind::kNotFound : ErrorKind::kIo, "{}: cannot {}: {}", path, doing,
                    std::strerror(code));
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

void sync_folder_of(const std::string& path) {
  const std::string folder = folder_of(path);
  const Descriptor descriptor{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (descriptor.value >= 0) (void)::fsync(descriptor.value);
}

}  // namespace hotaru
