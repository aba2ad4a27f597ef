// From an exchange to a parsed request, or to its refusal in the words of the path's API.
#pragma once

#include <memory>
#include <utility>

#include "server/http/exchange.h"
#include "server/reply/reply_task.h"
#include "server/request/errors.h"
#include "server/request/fields.h"

namespace hotaru::server {

// Hands what parse(Fields&) reads from the body to `answer`, unless something was wrong with it.
template <typename Parse, typename Answer>
void with_request(const std::shared_ptr<Exchange>& exchange, Parse parse, Answer answer) {
  const HttpRequest& http = exchange->request();
  const auto body = Fields::parse_object(http.body);
  if (!body) return exchange->respond(error_response(http.path, body.error()));
  Fields fields(*body, "");
  auto request = parse(fields);
  if (!fields.ok()) return exchange->respond(error_response(http.path, fields.error(), fields.bad_field()));
  answer(std::move(request));
}

// What is not found is the model; OpenAI's clients are told so.
HttpResponse refusal(std::string_view path, const Error& error);
// Of a stream of server-sent events, or of an answer in one piece.
ReplyDelivery event_delivery(const std::shared_ptr<Exchange>& exchange, bool streams);

}  // namespace hotaru::server
