// SHA-256, fed piece by piece: for what users see and compare (--hash-logits, file hashes). Checksums inside files are
// XXH3.
#pragma once

#include <nettle/sha2.h>

#include <cstddef>
#include <span>
#include <string>

namespace hotaru {

class Sha256 {
 public:
  Sha256() { sha256_init(&state_); }
  void update(std::span<const std::byte> bytes);
  // 64 lower-case hexadecimal digits of everything so far; afterwards the object starts afresh.
  std::string finish_hex();

 private:
  sha256_ctx state_{};
};

std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace hotaru
