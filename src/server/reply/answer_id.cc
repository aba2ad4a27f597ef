#include "server/reply/answer_id.h"

#include <chrono>
#include <random>

namespace hotaru::server {

std::string new_id(std::string_view prefix) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  constexpr int kLength = 24;
  thread_local std::mt19937_64 generator{(static_cast<uint64_t>(std::random_device{}()) << 32U) ^
                                         static_cast<uint64_t>(std::random_device{}())};
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id(prefix);
  for (int i = 0; i < kLength; i++) id += kLetters[letter(generator)];
  return id;
}

int64_t unix_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace hotaru::server
