// HTTP as a client, by libcurl: what `pull` and `ps` need.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "server/http/exchange.h"

namespace hotaru::server {

struct HttpFetch {
  std::string url;  // http or https; redirections are followed
  NamedValues headers;
  uint64_t offset = 0;  // bytes that are there already: a Range request
  // Every part of a body with status 200 or 206 (the range is granted). An error ends the transfer.
  std::function<Result<void>(int status, std::span<const std::byte> bytes)> on_bytes;
  std::function<bool()> is_cancelled;  // asked several times a second; may be empty
};

struct HttpAnswer {
  int status = 0;
  std::string body;  // of other statuses than 200 and 206, at most 64 KiB
};

// kInvalid: no address; kTimeout; kAborted: cancelled; kIo: nobody answers there, or the connection broke.
Result<HttpAnswer> http_fetch(const HttpFetch& fetch);
// A body of at most `max_bytes`, whatever the status.
Result<HttpAnswer> http_fetch_text(HttpFetch fetch, size_t max_bytes);

}  // namespace hotaru::server
