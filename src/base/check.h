// CHECK: for what only we can get wrong. Prints the condition and, for CHECK_EQ and its family, both values, then
// aborts.
#pragma once

#include <fmt/format.h>

#include <string>
#include <type_traits>

namespace hotaru {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& detail);

template <typename T>
std::string check_text(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return fmt::format("{}", static_cast<long long>(value));
  } else {
    return fmt::format("{}", value);
  }
}
}  // namespace hotaru

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) ::hotaru::check_failed(__FILE__, __LINE__, #condition, ""); \
  } while (false)

#define HOTARU_CHECK_OP(op, a, b)                                                                          \
  do {                                                                                                     \
    const auto& check_a = (a);                                                                             \
    const auto& check_b = (b);                                                                             \
    if (!(check_a op check_b))                                                                             \
      ::hotaru::check_failed(__FILE__, __LINE__, #a " " #op " " #b,                                        \
                             ::hotaru::check_text(check_a) + " against " + ::hotaru::check_text(check_b)); \
  } while (false)

#define CHECK_EQ(a, b) HOTARU_CHECK_OP(==, a, b)
#define CHECK_NE(a, b) HOTARU_CHECK_OP(!=, a, b)
#define CHECK_LT(a, b) HOTARU_CHECK_OP(<, a, b)
#define CHECK_LE(a, b) HOTARU_CHECK_OP(<=, a, b)
#define CHECK_GT(a, b) HOTARU_CHECK_OP(>, a, b)
#define CHECK_GE(a, b) HOTARU_CHECK_OP(>=, a, b)
