#include "cli/text_output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace hotaru::cli {

bool TextOutput::write(std::string_view text) {
  if (!is_open()) return false;
  has_text_ = has_text_ || !text.empty();
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written) error_number_ = errno != 0 ? errno : EIO;
  return written;
}

Result<void> TextOutput::status() const {
  if (is_open() || error_number_ == EPIPE) return {};
  return make_error(ErrorKind::kIo, "stdout: {}", std::strerror(error_number_));
}

}  // namespace hotaru::cli
