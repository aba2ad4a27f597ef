// The border to rust/hotaru_text: views in, owned bytes out, statuses to Results.
#pragma once

#include <hotaru_text.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hotaru::foreign {

inline HotaruTextView view(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Frees what the crate allocated, whatever happens in between.
class Bytes {
 public:
  Bytes() = default;
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { hotaru_text_free_bytes(raw_); }
  HotaruTextBytes* out() { return &raw_; }
  [[nodiscard]] std::string text() const { return {reinterpret_cast<const char*>(raw_.data), raw_.size}; }

 private:
  HotaruTextBytes raw_ = {nullptr, 0};
};

class Ids {
 public:
  Ids() = default;
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;
  ~Ids() { hotaru_text_free_ids(raw_); }
  HotaruTextIds* out() { return &raw_; }
  // Ids are below 2^24 by the crate's contract.
  [[nodiscard]] std::vector<int32_t> ids() const { return {raw_.data, raw_.data + raw_.size}; }

 private:
  HotaruTextIds raw_ = {nullptr, 0};
};

inline Error error_of(int status, const Bytes& message) {
  return {status == kHotaruTextUnsupported ? ErrorKind::kNotSupported : ErrorKind::kInvalid, message.text()};
}

// Calls function(arguments..., &bytes, &message).
template <typename Function, typename... Arguments>
Result<std::string> text_of(Function function, Arguments... arguments) {
  Bytes out;
  Bytes message;
  const int status = function(arguments..., out.out(), message.out());
  if (status != kHotaruTextOk) return error_of(status, message);
  return out.text();
}

template <typename Function, typename... Arguments>
Result<std::vector<int32_t>> ids_of(Function function, Arguments... arguments) {
  Ids out;
  Bytes message;
  const int status = function(arguments..., out.out(), message.out());
  if (status != kHotaruTextOk) return error_of(status, message);
  return out.ids();
}

// Handles are shared between copies and given back with the last one.
template <typename Handle, typename Function, typename... Arguments>
Result<std::shared_ptr<Handle>> handle_of(void (*free)(Handle*), Function function, Arguments... arguments) {
  Handle* out = nullptr;
  Bytes message;
  const int status = function(arguments..., &out, message.out());
  if (status != kHotaruTextOk) return error_of(status, message);
  return std::shared_ptr<Handle>(out, free);
}

}  // namespace hotaru::foreign
