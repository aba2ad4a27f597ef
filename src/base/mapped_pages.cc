#include "base/mapped_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace hotaru {
namespace {

constexpr size_t kWorthDropping = size_t{1} << 20;

}  // namespace

void drop_mapped_pages(std::span<const std::byte> bytes) {
  if (bytes.size() < kWorthDropping) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t end = (begin + bytes.size()) / page * page;
  if (first >= end) return;
  auto* address = const_cast<std::byte*>(bytes.data()) + (first - begin);
  // Advice: where it is not taken, nothing is lost but memory.
  (void)::madvise(address, end - first, MADV_DONTNEED);
}

}  // namespace hotaru
