#include "server/request/errors.h"

#include "base/json.h"

namespace hotaru::server {
namespace {

bool is_at_or_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

// The names that Anthropic's clients turn into their exception types.
std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

Json openai_error(int status, std::string_view message, std::string_view param) {
  Json error;
  error["message"] = message;
  error["type"] = status < 500 ? "invalid_request_error" : "server_error";
  error["param"] = param.empty() ? Json(nullptr) : Json(param);
  error["code"] = nullptr;
  if (status == 401) error["code"] = "invalid_api_key";
  if (status == 404 && param == "model") error["code"] = "model_not_found";
  return error;
}

}  // namespace

int http_status(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
    case ErrorKind::kNotSupported:
      return 400;
    case ErrorKind::kNotFound:
      return 404;
    case ErrorKind::kBusy:
    case ErrorKind::kNoMemory:
      return 503;
    case ErrorKind::kTimeout:
      return 504;
    case ErrorKind::kIo:
    case ErrorKind::kAborted:
      return 500;
  }
  return 500;
}

std::string error_body(std::string_view path, int status, std::string_view message, std::string_view param) {
  Json body;
  if (is_at_or_below(path, "/v1/messages")) {
    body["type"] = "error";
    body["error"]["type"] = anthropic_type(status);
    body["error"]["message"] = message;
  } else if (is_at_or_below(path, "/v1")) {
    body["error"] = openai_error(status, message, param);
  } else {
    body["error"] = message;
  }
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpResponse error_response(std::string_view path, const Error& error, std::string_view param) {
  return error_response(path, http_status(error.kind), error.message, param);
}

HttpResponse error_response(std::string_view path, int status, std::string_view message, std::string_view param) {
  HttpResponse response;
  response.status = status;
  response.body = error_body(path, status, message, param);
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace hotaru::server
