// Ollama's answers that tell how something goes on: one JSON object a line, written by whoever does it, read by the
// connection. Without a stream, only the last line is the answer.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/json.h"
#include "server/http/exchange.h"

namespace hotaru::server {

// Shared by the writer and the stream that the connection reads.
class StatusLines {
 public:
  explicit StatusLines(std::shared_ptr<Exchange> exchange, bool streams)
      : exchange_(std::move(exchange)), streams_(streams) {}
  // The first line waits for the second one: what fails at once is an error's status, not a stream.
  void write(const Json& line);
  // Ends it: the last line has been written.
  void finish();
  // Ends it with an error: as the answer's status, if nothing was sent yet.
  void fail(const Error& error);
  BodyStream::Chunk take();

 private:
  void begin();
  std::shared_ptr<Exchange> exchange_;
  const bool streams_;
  bool has_line_ = false, has_begun_ = false;  // of the writer
  Json last_;
  std::mutex mutex_;
  std::string bytes_;
  bool is_finished_ = false;
  std::weak_ptr<StatusLines> self_;
  friend std::shared_ptr<StatusLines> make_status_lines(std::shared_ptr<Exchange> exchange, bool streams);
};
std::shared_ptr<StatusLines> make_status_lines(std::shared_ptr<Exchange> exchange, bool streams);

}  // namespace hotaru::server
