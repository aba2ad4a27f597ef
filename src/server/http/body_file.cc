#include "server/http/body_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace hotaru::server {
namespace {

Error system_error(const std::string& path) {
  const bool is_full = errno == ENOSPC || errno == EDQUOT;
  return make_error(is_full ? ErrorKind::kNoMemory : ErrorKind::kIo, "{}: {}", path, std::strerror(errno));
}

}  // namespace

Result<std::shared_ptr<BodyFile>> BodyFile::create(const std::string& folder) {
  // "*.PID.tmp": the store takes those away whose writer is dead.
  const std::string ending = fmt::format(".{}.tmp", getpid());
  std::string path = folder + "/upload-XXXXXX" + ending;
  const int descriptor = mkostemps(path.data(), static_cast<int>(ending.size()), O_CLOEXEC);
  if (descriptor < 0) return system_error(folder);
  return std::shared_ptr<BodyFile>(new BodyFile(std::move(path), descriptor));
}

BodyFile::~BodyFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  unlink(path_.c_str());  // nothing there: somebody took it over
}

Result<void> BodyFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_error(path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<void> BodyFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) return system_error(path_);
  return {};
}

}  // namespace hotaru::server
