// A request's JSON in, an answer's JSON out.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/http/exchange.h"
#include "server/request/errors.h"
#include "server/request/fields.h"

namespace hotaru::server {

using SharedExchange = std::shared_ptr<Exchange>;

// On one line; bytes that are no UTF-8 become U+FFFD.
std::string json_line(const Json& value);
HttpResponse json_response(const Json& value, int status = 200);

// Answers with the error as the API of the request's path gives it.
void refuse(const SharedExchange& exchange, const Error& error, std::string_view param = {});

// What `read` makes of the body's fields; nothing when the body or a field is wrong, and then the answer says so.
template <typename Value, typename Read>
std::optional<Value> read_request(const SharedExchange& exchange, Read read) {
  const Result<Json> body = Fields::parse_object(exchange->request().body);
  if (!body) {
    refuse(exchange, body.error());
    return std::nullopt;
  }
  Fields fields(*body, "");
  Value value = read(fields);
  if (fields.ok()) return value;
  refuse(exchange, fields.error(), fields.bad_field());
  return std::nullopt;
}

}  // namespace hotaru::server
