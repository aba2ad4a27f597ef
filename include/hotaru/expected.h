// A value, or why there is none. Nothing in this API throws, but for the two functions that say so: value() and
// expect() of an Expected that has no value.
//
// Lifetime: an Expected owns its value. Threads: as any value, one thread at a time.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace hotaru {

enum class ErrorCode {
  SUCCESS = 0,
  INVALID_ARGUMENT,  // what was given is malformed, out of range or not UTF-8
  NOT_FOUND,         // a file, an adapter or a part of the model that is not there
  NOT_SUPPORTED,     // well-formed, but Hotaru cannot do it
  IO,                // the operating system refused
  OUT_OF_MEMORY,     // does not fit the device's memory, or the context is full
  ABORTED,           // stopped by the user
  BUSY,              // a queue is full, or a reply is being written: try again later
  TIMEOUT,           // nothing happened for as long as the caller would wait
};

// `message` says the place, what was found and what was wanted, on one line.
struct Failure {
  ErrorCode code = ErrorCode::INVALID_ARGUMENT;
  std::string message;
};

// Thrown by value() and expect() of an Expected without a value.
class BadExpected : public std::runtime_error {
 public:
  BadExpected(const std::string& text, ErrorCode code) : std::runtime_error(text), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

template <typename T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Expected(Failure failure) : state_(std::in_place_index<1>, std::move(failure)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  [[nodiscard]] ErrorCode status() const noexcept { return has_value() ? ErrorCode::SUCCESS : error().code; }
  // Only without a value.
  [[nodiscard]] const Failure& error() const noexcept { return *std::get_if<1>(&state_); }

  // Throws BadExpected without a value; its text is the error's message, in expect() behind `what` and a colon.
  T& value() & {
    require("");
    return std::get<0>(state_);
  }
  const T& value() const& {
    require("");
    return std::get<0>(state_);
  }
  T value() && {
    require("");
    return std::get<0>(std::move(state_));
  }
  T expect(const std::string& what) && {
    require(what + ": ");
    return std::get<0>(std::move(state_));
  }

  // Only with a value.
  T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  T operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

 private:
  void require(const std::string& prefix) const {
    if (!has_value()) throw BadExpected(prefix + error().message, error().code);
  }
  std::variant<T, Failure> state_;
};

// Done, or why not.
template <>
class [[nodiscard]] Expected<void> {
 public:
  Expected() = default;
  Expected(Failure failure) : failure_(std::move(failure)) {}

  [[nodiscard]] bool has_value() const noexcept { return !failure_; }
  explicit operator bool() const noexcept { return has_value(); }
  [[nodiscard]] ErrorCode status() const noexcept { return failure_ ? failure_->code : ErrorCode::SUCCESS; }
  [[nodiscard]] const Failure& error() const noexcept { return *failure_; }
  void value() const {
    if (failure_) throw BadExpected(failure_->message, failure_->code);
  }
  void expect(const std::string& what) const {
    if (failure_) throw BadExpected(what + ": " + failure_->message, failure_->code);
  }

 private:
  std::optional<Failure> failure_;
};

}  // namespace hotaru
