// HTTP/1.1 by Boost.Beast: one thread for all connections, a few workers for handlers. A slow reader or an idle
// connection costs memory only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/http/request_record.h"
#include "server/http/router.h"

namespace hotaru::server {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 11434;  // 0: any free one
  uint32_t header_bytes = 64 * 1024;
  uint64_t body_bytes = 64ULL << 20;        // in memory
  uint64_t all_body_bytes = 1ULL << 30;     // in memory, of all requests together; more is refused with 503
  uint64_t file_body_bytes = 64ULL << 30;   // of BodyKind::kFile
  std::string file_folder;                  // where such bodies are written ("*.PID.tmp"); on the store's file system
  std::chrono::seconds header_timeout{10};  // from the first byte to the end of the headers
  std::chrono::seconds idle_timeout{60};    // between requests; also for each part of a body to arrive
  std::chrono::seconds write_timeout{300};  // without a byte taken by the client
  int connections = 1024;
  int workers = 4;
  std::vector<std::string> api_keys;  // none: everyone
  // Beside the loopback ones, which are always allowed: "https://example.org", "app://*", "*".
  std::vector<std::string> origins;
  // After each request, on the server's own thread: must not block.
  std::function<void(const RequestRecord&)> on_request_done;
};

class HttpServer {
 public:
  // Binds and listens: an error names the address ("127.0.0.1:11434: address already in use").
  static Result<std::unique_ptr<HttpServer>> create(HttpServerOptions options, Router router);
  virtual ~HttpServer() = default;
  [[nodiscard]] virtual uint16_t port() const = 0;
  // "http://127.0.0.1:11434".
  [[nodiscard]] virtual std::string address() const = 0;
  // Until stop(). Blocks.
  virtual void run() = 0;
  // From any thread: takes no more connections or requests; answers on their way have `grace` to finish and are then
  // cut. A second call cuts at once.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace hotaru::server
