#include "device/region.h"

#include <sys/mman.h>

#include <utility>

#include "base/posix.h"

namespace hotaru {

Result<Region> Region::create(size_t bytes, RegionPages pages) {
  Region region;
  if (bytes == 0) return region;
  // Whole large pages: the system aligns such mappings, and leaves no part of them in ordinary pages.
  const bool is_large = pages == RegionPages::kLarge && bytes >= kLargePageBytes;
  if (is_large) bytes = (bytes + kLargePageBytes - 1) / kLargePageBytes * kLargePageBytes;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return make_error(ErrorKind::kNoMemory, "the system refused {} bytes of memory", bytes);
  if (is_large) (void)::madvise(data, bytes, MADV_HUGEPAGE);
  region.data_ = static_cast<std::byte*>(data);
  region.bytes_ = bytes;
  return region;
}

Region::Region(Region&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Region& Region::operator=(Region&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Region::~Region() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

}  // namespace hotaru
