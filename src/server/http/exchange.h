// One HTTP request on its way to its answer: the border between whoever speaks HTTP and whoever knows an API.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hotaru::server {

using NamedValues = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string id;  // the client's X-Request-Id, or one made here; stands in the log and in the answer's header
  std::string method;
  std::string path;        // percent-decoded, without the query
  NamedValues query;       // percent-decoded
  NamedValues headers;     // names in lower case
  NamedValues parameters;  // what the route's {name} parts matched
  std::string body;
  std::string body_file;  // of a route with BodyKind::kFile: a temporary file, removed afterwards unless it was renamed

  // The first value; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view lower_case_name) const;
  [[nodiscard]] std::string_view parameter(std::string_view name) const;
  [[nodiscard]] std::string_view query_value(std::string_view name) const;
};

// The body of an answer that is made while it is sent. It is destroyed when everything was sent, or when the client has
// gone: that must stop the work behind it.
class BodyStream {
 public:
  struct Chunk {
    std::string bytes;
    bool is_last = false;
  };
  virtual ~BodyStream() = default;
  // What can go out now. Nothing and not the last: not yet, Exchange::wake() will tell. Called again only after the
  // bytes have gone out (back-pressure); never blocks.
  virtual Chunk take() = 0;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";
  NamedValues headers;
  std::string body;
  std::unique_ptr<BodyStream> stream;  // instead of `body`
};

// Shared by the connection and the handler; every method may be called from any thread and never blocks.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual const HttpRequest& request() const = 0;
  // Once.
  virtual void respond(HttpResponse response) = 0;
  // The answer's stream has something to take, or has ended.
  virtual void wake() = 0;
  [[nodiscard]] virtual bool is_gone() const = 0;
  // Called once when the client leaves before the answer was sent; at once if it has left. One callback at most.
  virtual void on_gone(std::function<void()> callback) = 0;
};

// Called on a worker thread; may block (load a model, read a folder) but not wait for a reply's tokens: for these it
// keeps the exchange, returns, and answers later.
using Handler = std::function<void(const std::shared_ptr<Exchange>&)>;

}  // namespace hotaru::server
