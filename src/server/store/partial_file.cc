#include "server/store/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace hotaru::server {
namespace {

Error write_error(const std::string& path) {
  return make_error(ErrorKind::kIo, "{}: cannot write: {}", path, std::strerror(errno));
}

}  // namespace

Result<PartialFile> PartialFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return write_error(path);
  PartialFile file(path, descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return make_error(ErrorKind::kBusy, "{}: is already being pulled", path);
  }
  struct stat opened {
  }, named{};
  if (::fstat(descriptor, &opened) != 0) return write_error(path);
  // Whoever had the lock before may have finished and taken the name away.
  if (::stat(path.c_str(), &named) != 0 || named.st_ino != opened.st_ino) {
    return make_error(ErrorKind::kBusy, "{}: has just been pulled", path);
  }
  file.bytes_ = static_cast<uint64_t>(opened.st_size);
  return file;
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), bytes_(other.bytes_) {}

PartialFile::~PartialFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> PartialFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return write_error(path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
    bytes_ += static_cast<uint64_t>(written);
  }
  return {};
}

Result<void> PartialFile::clear() {
  if (::ftruncate(descriptor_, 0) != 0) return write_error(path_);
  bytes_ = 0;
  return {};
}

void PartialFile::remove() { (void)::unlink(path_.c_str()); }

}  // namespace hotaru::server
