// Which handler answers which method and path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/http/exchange.h"

namespace hotaru::server {

enum class BodyKind { kMemory, kFile };
enum class Access { kWithKey, kOpen };  // kOpen: also without an API key (/healthz, "/")

struct Route {
  std::string method;
  std::string path;  // "/v1/models/{id}"; "{name...}" as the last part matches slashes too
  Handler handler;
  BodyKind body = BodyKind::kMemory;
  Access access = Access::kWithKey;
};

class Router {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }

  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

  struct Match {
    const Route* route = nullptr;  // none: no such path, or not with this method
    NamedValues parameters;
    std::string allowed;  // methods that the path has ("GET, POST"); empty: no such path
  };
  // HEAD finds GET's route where there is none of its own.
  [[nodiscard]] Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace hotaru::server
