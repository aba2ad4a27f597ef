#include "server/store/store_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/posix.h"

namespace hotaru::server {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr int64_t kForgottenSeconds = 24 * 3600;

// Calls `take` with each part of the file.
template <typename Take>
Result<void> read_blocks(const std::string& path, Take take) {
  const Descriptor descriptor{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (descriptor.value < 0) return system_error(path, "open", errno);
  std::vector<std::byte> block(kBlockBytes);
  while (true) {
    const ssize_t count = ::read(descriptor.value, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(path, "read", errno);
    if (count == 0) return {};
    TRY(take(std::span<const std::byte>(block).first(static_cast<size_t>(count))));
  }
}

Result<void> copy_file(const std::string& from, const std::string& to) {
  TRY_ASSIGN(OutputFile output, OutputFile::create(to));
  TRY(read_blocks(from, [&](std::span<const std::byte> part) { return output.write(part); }));
  return output.commit();
}

int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// "...PID.tmp" of a process that is there, other than this one.
bool has_living_writer(std::string_view name) {
  name.remove_suffix(std::string_view(".tmp").size());
  const std::string_view digits = name.substr(name.rfind('.') + 1);
  pid_t process = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), process);
  if (error != std::errc() || end != digits.data() + digits.size() || process <= 0) return true;  // cannot be told
  return ::kill(process, 0) == 0 || errno == EPERM;
}

}  // namespace

Result<StoreLock> StoreLock::take(const std::string& folder) {
  const std::string path = folder + "/.lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return system_error(path, "open", errno);
  StoreLock lock(descriptor);
  while (::flock(descriptor, LOCK_EX) != 0) {
    if (errno != EINTR) return system_error(path, "lock", errno);
  }
  return lock;
}

StoreLock::StoreLock(StoreLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

StoreLock::~StoreLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string FileStamp::text() const { return fmt::format("{:x}:{:x}:{:x}:{:x}", device, inode, bytes, modified_ns); }

Result<FileStamp> stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return system_error(path, "open", errno);
  if (!S_ISREG(status.st_mode)) return make_error(ErrorKind::kNotFound, "{}: not a regular file", path);
  FileStamp stamp;
  stamp.device = status.st_dev;
  stamp.inode = status.st_ino;
  stamp.bytes = static_cast<uint64_t>(status.st_size);
  stamp.links = status.st_nlink;
  stamp.modified_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  return stamp;
}

Result<void> link_or_copy(const std::string& from, const std::string& to) {
  TRY(make_folders(std::filesystem::path(to).parent_path()));
  const std::string temporary = fmt::format("{}.{}.tmp", to, ::getpid());
  TRY(remove_file(temporary));  // of a dead process that had our number: the store is locked
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, temporary.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    if (errno == ENOENT) return system_error(from, "open", errno);
    return copy_file(from, to);  // EXDEV, EPERM, EMLINK, ...: if copying cannot do it either, its error says why
  }
  const int renamed = ::rename(temporary.c_str(), to.c_str());
  const int code = errno;
  // rename() of two links to one file succeeds and leaves both.
  TRY(remove_file(temporary));
  if (renamed != 0) return system_error(to, "write", code);
  sync_folder_of(to);
  return {};
}

Result<void> move_into_place(const std::string& from, const std::string& to) {
  {
    const Descriptor descriptor{::open(from.c_str(), O_RDWR | O_CLOEXEC)};
    if (descriptor.value < 0) return system_error(from, "open", errno);
    if (::fsync(descriptor.value) != 0) return system_error(from, "write", errno);
  }
  if (::rename(from.c_str(), to.c_str()) != 0) return system_error(to, "write", errno);
  sync_folder_of(to);
  return {};
}

Result<void> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) == 0) {
    sync_folder_of(path);
    return {};
  }
  return errno == ENOENT ? Result<void>() : system_error(path, "remove", errno);
}

Result<void> write_file(const std::string& path, std::string_view text) {
  TRY(make_folders(std::filesystem::path(path).parent_path()));
  TRY_ASSIGN(OutputFile output, OutputFile::create(path));
  TRY(output.write(text));
  return output.commit();
}

Result<void> make_folders(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) return make_error(ErrorKind::kIo, "{}: cannot make the folder: {}", path, code.message());
  return {};
}

Result<std::string> sha256_of_file(const std::string& path) {
  Sha256 hash;
  TRY(read_blocks(path, [&](std::span<const std::byte> part) -> Result<void> {
    hash.update(part);
    return {};
  }));
  return hash.finish_hex();
}

bool is_left_over(const std::string& path) {
  if (!path.ends_with(".tmp")) return false;
  const Result<FileStamp> stamp = stamp_of(path);
  if (!stamp) return false;
  return seconds_now() - stamp->modified_ns / 1'000'000'000 > kForgottenSeconds || !has_living_writer(path);
}

}  // namespace hotaru::server
