#include "compiler/residual_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace hotaru {
namespace {

constexpr size_t kMostBytesInMemory = size_t{256} << 20;

Result<int> open_unnamed(const std::string& folder) {
  const int unnamed = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (unnamed >= 0) return unnamed;
  // File systems without O_TMPFILE: a name for a moment.
  std::string name = folder + "/hotaru-XXXXXX";
  const int named = ::mkstemp(name.data());
  if (named < 0) return make_error(ErrorKind::kIo, "{}: no room for calibration: {}", folder, std::strerror(errno));
  ::unlink(name.c_str());
  return named;
}

}  // namespace

Result<ResidualStore> ResidualStore::create(size_t tokens, size_t width, const std::string& folder) {
  ResidualStore store(tokens, width);
  if (tokens * width * sizeof(float) <= kMostBytesInMemory) {
    store.memory_.resize(tokens * width);
  } else {
    TRY_ASSIGN(store.descriptor_, open_unnamed(folder));
  }
  return store;
}

ResidualStore::ResidualStore(ResidualStore&& other) noexcept
    : tokens_(other.tokens_),
      width_(other.width_),
      memory_(std::move(other.memory_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

ResidualStore::~ResidualStore() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> ResidualStore::read(Range range, std::vector<float>& rows) const {
  CHECK_LE(range.begin + range.tokens, tokens_);
  rows.resize(range.tokens * width_);
  if (descriptor_ < 0) {
    std::copy_n(memory_.begin() + static_cast<std::ptrdiff_t>(range.begin * width_), rows.size(), rows.begin());
    return {};
  }
  auto* out = reinterpret_cast<char*>(rows.data());
  for (size_t done = 0; done < rows.size() * sizeof(float);) {
    const auto offset = static_cast<off_t>(range.begin * width_ * sizeof(float) + done);
    const ssize_t count = ::pread(descriptor_, out + done, rows.size() * sizeof(float) - done, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return make_error(ErrorKind::kIo, "calibration rows cannot be read: {}", std::strerror(errno));
    done += static_cast<size_t>(count);
  }
  return {};
}

Result<void> ResidualStore::write(Range range, std::span<const float> rows) {
  CHECK_LE(range.begin + range.tokens, tokens_);
  CHECK_EQ(rows.size(), range.tokens * width_);
  if (descriptor_ < 0) {
    std::copy(rows.begin(), rows.end(), memory_.begin() + static_cast<std::ptrdiff_t>(range.begin * width_));
    return {};
  }
  const auto* in = reinterpret_cast<const char*>(rows.data());
  for (size_t done = 0; done < rows.size_bytes();) {
    const auto offset = static_cast<off_t>(range.begin * width_ * sizeof(float) + done);
    const ssize_t count = ::pwrite(descriptor_, in + done, rows.size_bytes() - done, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return make_error(ErrorKind::kIo, "calibration rows cannot be written: {}", std::strerror(errno));
    done += static_cast<size_t>(count);
  }
  return {};
}

}  // namespace hotaru
