// Who may ask: the Host header (a page elsewhere whose name was pointed at this machine must not reach it), the Origin
// header (CORS, by Ollama's rules) and API keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/http/exchange.h"

namespace hotaru::server {

struct GateOptions {
  bool checks_host = true;           // when only this machine can connect
  std::vector<std::string> origins;  // beside the ones of this machine: "https://example.org", "app://*", "*"
  std::vector<std::string> api_keys;
};

class Gate {
 public:
  explicit Gate(GateOptions options);

  struct Verdict {
    int status = 0;  // 0: pass; 204: a preflight, answered by the headers
    std::string message;
    NamedValues headers;  // for the answer, whatever it is
  };
  [[nodiscard]] Verdict judge(const HttpRequest& request) const;
  // Takes as long for a wrong key as for a right one. True if no key is needed.
  [[nodiscard]] bool has_key(const HttpRequest& request) const;

 private:
  [[nodiscard]] bool allows_origin(std::string_view origin) const;
  bool checks_host_;
  std::string host_name_;
  std::vector<std::string> origins_;
  std::vector<std::string> key_digests_;  // SHA-256: equal lengths, whatever the keys are
};

}  // namespace hotaru::server
