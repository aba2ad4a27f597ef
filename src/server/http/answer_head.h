// The text in front of an answer's body, and around the parts of a body that is streamed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/exchange.h"

namespace hotaru::server {

struct AnswerHead {
  int status = 200;
  std::string_view content_type;
  std::optional<uint64_t> content_bytes;  // nothing: unknown, it is streamed
  bool is_chunked = false;
  bool keeps_alive = true;
  NamedValues headers;
};

// Headers that could break out of their line are left out.
std::string head_text(const AnswerHead& head);
std::string_view reason_of(int status);
// One part of a chunked body; the last one ends it.
std::string chunk_text(std::string_view bytes, bool is_last);

}  // namespace hotaru::server
