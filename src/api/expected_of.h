// The border between the two ways to say what went wrong: Result inside, Expected outside.
#pragma once

#include <utility>

#include "base/result.h"
#include "hotaru/expected.h"

namespace hotaru {

ErrorCode code_of(ErrorKind kind);

inline Failure failure_of(Error error) { return {code_of(error.kind), std::move(error.message)}; }

template <typename T>
Expected<T> expected_of(Result<T> result) {
  if (!result) return failure_of(std::move(result).error());
  return *std::move(result);
}
inline Expected<void> expected_of(Result<void> result) {
  if (!result) return failure_of(std::move(result).error());
  return {};
}

}  // namespace hotaru
