// How an error looks to the clients of each API.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "server/http/exchange.h"

namespace hotaru::server {

// kInvalid, kNotSupported 400; kNotFound 404; kBusy, kNoMemory 503; kTimeout 504; kIo, kAborted 500.
int http_status(ErrorKind kind);

// The body that the API which owns `path` gives: /v1/messages Anthropic's, the rest of /v1 OpenAI's (message, type,
// param, code), everything else Ollama's {"error": "..."}. `param` is the request's field, if one is to blame.
std::string error_body(std::string_view path, int status, std::string_view message, std::string_view param = {});
HttpResponse error_response(std::string_view path, const Error& error, std::string_view param = {});
HttpResponse error_response(std::string_view path, int status, std::string_view message, std::string_view param = {});

}  // namespace hotaru::server
