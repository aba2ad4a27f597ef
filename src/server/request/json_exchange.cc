#include "server/request/json_exchange.h"

#include <utility>

namespace hotaru::server {

std::string json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

HttpResponse json_response(const Json& value, int status) {
  HttpResponse response;
  response.status = status;
  response.body = json_line(value);
  return response;
}

void refuse(const SharedExchange& exchange, const Error& error, std::string_view param) {
  exchange->respond(error_response(exchange->request().path, error, param));
}

}  // namespace hotaru::server
