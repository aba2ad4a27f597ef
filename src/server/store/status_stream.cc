#include "server/store/status_stream.h"

#include <utility>

#include "server/request/errors.h"
#include "server/request/json_exchange.h"
#include "server/store/handlers.h"

namespace hotaru::server {
namespace {

class StatusBody final : public BodyStream {
 public:
  explicit StatusBody(std::shared_ptr<StatusLines> lines) : lines_(std::move(lines)) {}
  Chunk take() override { return lines_->take(); }

 private:
  std::shared_ptr<StatusLines> lines_;
};

}  // namespace

std::shared_ptr<StatusLines> make_status_lines(std::shared_ptr<Exchange> exchange, bool streams) {
  auto lines = std::make_shared<StatusLines>(std::move(exchange), streams);
  lines->self_ = lines;
  return lines;
}

void StatusLines::begin() {
  if (std::exchange(has_begun_, true)) return;
  HttpResponse response;
  response.content_type = "application/x-ndjson";
  response.stream = std::make_unique<StatusBody>(self_.lock());
  exchange_->respond(std::move(response));
}

void StatusLines::write(const Json& line) {
  last_ = line;
  if (!streams_) return;
  {
    const std::lock_guard lock(mutex_);
    bytes_ += json_line(line) + "\n";
  }
  if (std::exchange(has_line_, true)) begin();
  if (!has_begun_) return;
  exchange_->wake();
}

void StatusLines::finish() {
  if (!streams_) return exchange_->respond(json_response(last_));
  begin();
  {
    const std::lock_guard lock(mutex_);
    is_finished_ = true;
  }
  exchange_->wake();
}

void StatusLines::fail(const Error& error) {
  if (!has_begun_) return exchange_->respond(error_response(exchange_->request().path, error));
  write({{"error", error.message}});
  finish();
}

BodyStream::Chunk StatusLines::take() {
  const std::lock_guard lock(mutex_);
  return {std::exchange(bytes_, {}), is_finished_};
}

}  // namespace hotaru::server
