// Errors as values. What the world can get wrong (files, models, requests, memory) is a Result; what only we can get
// wrong is a CHECK (base/check.h). A message says place, found, wanted: "layer 7 'wq': got [2048, 512], want [2048,
// 2048]".
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace hotaru {

enum class ErrorKind {
  kInvalid,       // the input is malformed or inconsistent
  kNotFound,      // a file, model, adapter or tensor that is not there
  kNotSupported,  // well-formed, but Hotaru cannot do it
  kIo,            // the operating system refused
  kNoMemory,      // does not fit the budget
  kAborted,       // stopped by the user
  kBusy,          // a queue is full or a context in use: try again later
  kTimeout,       // nothing happened for as long as the caller would wait
};

struct Error {
  ErrorKind kind = ErrorKind::kInvalid;
  std::string message;
};

template <typename... Args>
[[nodiscard]] Error make_error(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  return Error{kind, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
[[nodiscard]] Error invalid(fmt::format_string<Args...> format, Args&&... args) {
  return Error{ErrorKind::kInvalid, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
[[nodiscard]] Error not_supported(fmt::format_string<Args...> format, Args&&... args) {
  return Error{ErrorKind::kNotSupported, fmt::format(format, std::forward<Args>(args)...)};
}

template <typename T>
class [[nodiscard]] Result {
 public:
  // Implicit from both sides on purpose: `return value;` and `return invalid("...");` read as they should.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  // By value, not T&&: `const auto& x = *f();` and `for (x : *f())` then keep what they look at alive.
  T value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const& { return std::get<1>(state_); }
  [[nodiscard]] Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}
  [[nodiscard]] bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const& { return *error_; }
  [[nodiscard]] Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

// Puts the place in front of an error that travels up: "model.safetensors: ..." .
[[nodiscard]] inline Error at(std::string_view place, Error error) {
  error.message = fmt::format("{}: {}", place, error.message);
  return error;
}

}  // namespace hotaru

#define HOTARU_CONCAT_INNER(a, b) a##b
#define HOTARU_CONCAT(a, b) HOTARU_CONCAT_INNER(a, b)

// TRY(expression): returns its error from the enclosing function. For Result<void>, or to ignore the value.
#define TRY(expression)                                                                    \
  do {                                                                                     \
    if (auto try_result = (expression); !try_result) return std::move(try_result).error(); \
  } while (false)

// TRY_ASSIGN(auto x, expression): the same, keeping the value.
#define TRY_ASSIGN(target, expression) TRY_ASSIGN_INNER(HOTARU_CONCAT(try_result_, __LINE__), target, expression)
#define TRY_ASSIGN_INNER(temporary, target, expression) \
  auto temporary = (expression);                        \
  if (!temporary) return std::move(temporary).error();  \
  target = *std::move(temporary)
