#include "api/expected_of.h"

#include "base/check.h"

namespace hotaru {

ErrorCode code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return ErrorCode::INVALID_ARGUMENT;
    case ErrorKind::kNotFound:
      return ErrorCode::NOT_FOUND;
    case ErrorKind::kNotSupported:
      return ErrorCode::NOT_SUPPORTED;
    case ErrorKind::kIo:
      return ErrorCode::IO;
    case ErrorKind::kNoMemory:
      return ErrorCode::OUT_OF_MEMORY;
    case ErrorKind::kAborted:
      return ErrorCode::ABORTED;
    case ErrorKind::kBusy:
      return ErrorCode::BUSY;
    case ErrorKind::kTimeout:
      return ErrorCode::TIMEOUT;
  }
  CHECK(false);
  return ErrorCode::INVALID_ARGUMENT;
}

}  // namespace hotaru
