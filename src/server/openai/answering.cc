#include "server/openai/answering.h"

#include "server/openai/server_sent_events.h"

namespace hotaru::server {

HttpResponse refusal(std::string_view path, const Error& error) {
  return error_response(path, error, error.kind == ErrorKind::kNotFound ? "model" : "");
}

ReplyDelivery event_delivery(const std::shared_ptr<Exchange>& exchange, bool streams) {
  ReplyDelivery delivery;
  delivery.streams = streams;
  delivery.content_type = kEventStream;
  delivery.refuse = [path = exchange->request().path](const Error& error) { return refusal(path, error); };
  return delivery;
}

}  // namespace hotaru::server
