#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/posix.h"

namespace hotaru {
namespace {

// Temporaries of unfinished outputs, where a signal handler can find them: no lock, no allocation, a fixed number of
// slots.
struct TemporarySlot {
  std::atomic<bool> taken{false};
  std::atomic<pid_t> owner{0};  // set last: a slot with an owner has a complete path
  std::array<char, 4096> path{};
};
std::array<TemporarySlot, 32> temporary_slots;

void remember_temporary(const std::string& path) {
  for (TemporarySlot& slot : temporary_slots) {
    if (path.size() >= slot.path.size()) return;
    if (slot.taken.exchange(true)) continue;
    std::memcpy(slot.path.data(), path.c_str(), path.size() + 1);
    slot.owner.store(::getpid());
    return;
  }
}

bool is_remembered(const std::string& path) {
  for (TemporarySlot& slot : temporary_slots) {
    if (slot.owner.load() == ::getpid() && path == slot.path.data()) return true;
  }
  return false;
}

void forget_temporary(const std::string& path) {
  for (TemporarySlot& slot : temporary_slots) {
    if (slot.owner.load() == 0 || path != slot.path.data()) continue;
    slot.owner.store(0);
    slot.taken.store(false);
  }
}

// A link stays a link: what it names is replaced. Devices and pipes cannot be replaced by a rename.
Result<std::string> output_destination(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return path;
    return system_error(path, "write", errno);
  }
  if (S_ISDIR(status.st_mode)) return system_error(path, "write", EISDIR);
  if (!S_ISREG(status.st_mode)) return make_error(ErrorKind::kIo, "{}: cannot write: not a regular file", path);
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (!resolved) return system_error(path, "write", errno);
  return std::string(resolved.get());
}

Result<void> write_all(int descriptor, const std::string& path, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return system_error(path, "write", errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

// A file without a name, which vanishes with a killed process; -1 where the file system or a missing /proc forbids it.
int open_unnamed(const std::string& folder) {
  if (::access("/proc/self/fd", X_OK) != 0) return -1;
  return ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  const Descriptor descriptor{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (descriptor.value < 0) return system_error(path, "open", errno);
  struct stat status {};
  if (::fstat(descriptor.value, &status) != 0) return system_error(path, "open", errno);
  if (S_ISDIR(status.st_mode)) return system_error(path, "open", EISDIR);
  if (!S_ISREG(status.st_mode)) return make_error(ErrorKind::kIo, "{}: cannot open: not a regular file", path);
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<size_t>(status.st_size);
  if (file.size_ == 0) return file;
  void* address = ::mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, descriptor.value, 0);
  if (address == MAP_FAILED) {
    file.size_ = 0;
    return system_error(path, "map", errno);
  }
  // A wish, for weights: streaming them from 4 KB pages takes a tenth longer than from large ones.
  (void)::madvise(address, file.size_, MADV_HUGEPAGE);
  file.data_ = static_cast<const std::byte*>(address);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

Result<std::string> read_text_file(const std::string& path, size_t max_bytes) {
  const Descriptor descriptor{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (descriptor.value < 0) return system_error(path, "open", errno);
  std::string text;
  std::array<char, 65536> block;
  while (true) {
    const ssize_t count = ::read(descriptor.value, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(path, "read", errno);
    if (count == 0) return text;
    text.append(block.data(), static_cast<size_t>(count));
    if (text.size() > max_bytes) return invalid("{}: the file is larger than {} bytes", path, max_bytes);
  }
}

Result<OutputFile> OutputFile::create(const std::string& path, bool may_be_unnamed) {
  OutputFile file;
  TRY_ASSIGN(file.path_, output_destination(path));
  const std::string temporary = fmt::format("{}.{}.tmp", file.path_, ::getpid());
  if (is_remembered(temporary)) return make_error(ErrorKind::kIo, "{}: is already being written", path);
  // A file of this name can only be left from a dead process that had our number.
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT) return system_error(path, "write", errno);
  if (may_be_unnamed) file.descriptor_ = open_unnamed(folder_of(file.path_));
  file.is_unnamed_ = file.descriptor_ >= 0;
  if (!file.is_unnamed_) file.descriptor_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file.descriptor_ < 0) return system_error(path, "create", errno);
  file.temporary_ = temporary;
  remember_temporary(temporary);
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      is_unnamed_(other.is_unnamed_),
      position_(other.position_),
      pending_(std::move(other.pending_)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(is_unnamed_, other.is_unnamed_);
  std::swap(position_, other.position_);
  std::swap(pending_, other.pending_);
  return *this;
}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  (void)::unlink(temporary_.c_str());
  forget_temporary(temporary_);
}

Result<void> OutputFile::write(std::span<const std::byte> bytes) {
  CHECK_GE(descriptor_, 0);
  while (!bytes.empty()) {
    const size_t room = kLargePageBytes - position_ % kLargePageBytes;
    const bool skips_pending = pending_.empty() && bytes.size() >= room;
    const size_t count =
        skips_pending ? room + (bytes.size() - room) / kLargePageBytes * kLargePageBytes : std::min(room, bytes.size());
    if (skips_pending) {
      TRY(write_all(descriptor_, path_, bytes.first(count), position_));
    } else {
      pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    }
    position_ += count;
    bytes = bytes.subspan(count);
    if (count == room) TRY(flush());
  }
  return {};
}

Result<void> OutputFile::flush() {
  TRY(write_all(descriptor_, path_, pending_, position_ - pending_.size()));
  pending_.clear();
  return {};
}

Result<void> OutputFile::write(std::string_view text) { return write(std::as_bytes(std::span(text))); }

Result<void> OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  CHECK_GE(descriptor_, 0);
  CHECK_LE(offset + bytes.size(), position_);
  TRY(flush());
  return write_all(descriptor_, path_, bytes, offset);
}

Result<void> OutputFile::commit() {
  CHECK_GE(descriptor_, 0);
  TRY(flush());
  if (::fsync(descriptor_) != 0) return system_error(path_, "write", errno);
  if (is_unnamed_) {
    const std::string link = fmt::format("/proc/self/fd/{}", descriptor_);
    if (::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return system_error(path_, "write", errno);
    }
  }
  if (::close(std::exchange(descriptor_, -1)) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int code = errno;
    (void)::unlink(temporary_.c_str());
    forget_temporary(temporary_);
    return system_error(path_, "write", code);
  }
  forget_temporary(temporary_);
  sync_folder_of(path_);
  return {};
}

void remove_unfinished_outputs() {
  for (TemporarySlot& slot : temporary_slots) {
    if (slot.owner.load() == ::getpid()) (void)::unlink(slot.path.data());
  }
}

}  // namespace hotaru
