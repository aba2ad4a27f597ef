#include "server/http/gate.h"

#include <arpa/inet.h>
#include <nettle/memops.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "base/hash.h"

namespace hotaru::server {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// "localhost:11434", "[::1]:11434" and "::1" without the port and the brackets.
std::string host_without_port(std::string_view host) {
  if (host.starts_with('[')) return lower(host.substr(1, host.find(']') - 1));
  const size_t colon = host.find(':');
  if (colon == std::string_view::npos || host.find(':', colon + 1) != std::string_view::npos) return lower(host);
  return lower(host.substr(0, colon));
}

// This machine's or the local network's: no public name leads to it without the owner's doing.
std::optional<bool> is_near_address(const std::string& host) {
  std::array<uint8_t, 16> a{};
  if (inet_pton(AF_INET, host.c_str(), a.data()) == 1) {
    return a[0] == 127 || a[0] == 0 || a[0] == 10 || (a[0] == 172 && a[1] >= 16 && a[1] < 32) ||
           (a[0] == 192 && a[1] == 168);
  }
  if (inet_pton(AF_INET6, host.c_str(), a.data()) == 1) {
    const bool is_zero = std::all_of(a.begin(), a.end() - 1, [](uint8_t byte) { return byte == 0; });
    return (is_zero && a[15] <= 1) || (a[0] & 0xFE) == 0xFC;
  }
  return {};
}

bool is_near_host(const std::string& host, const std::string& host_name) {
  if (const auto near = is_near_address(host)) return *near;
  if (host.empty() || host == "localhost" || host == host_name) return true;
  const auto below = [&host](std::string_view domain) { return host.ends_with(domain); };
  return below(".localhost") || below(".local") || below(".internal");
}

// "app://*": whatever begins so; "http://localhost:*" the same with any port.
bool matches(std::string_view pattern, std::string_view origin) {
  if (pattern == "*") return true;
  if (!pattern.ends_with('*')) return pattern == origin;
  pattern.remove_suffix(1);
  return origin.starts_with(pattern) && origin.find('*') == std::string_view::npos;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return {};
  return lower(name.data());
}

std::string digest_of(std::string_view key) { return sha256_hex(std::as_bytes(std::span(key.data(), key.size()))); }

}  // namespace

Gate::Gate(GateOptions options)
    : checks_host_(options.checks_host), host_name_(host_name()), origins_(std::move(options.origins)) {
  for (const std::string_view host : {"localhost", "127.0.0.1", "[::1]", "0.0.0.0"}) {
    for (const std::string_view scheme : {"http://", "https://"}) {
      origins_.push_back(std::string(scheme) + std::string(host));
      origins_.push_back(std::string(scheme) + std::string(host) + ":*");
    }
  }
  for (const char* program : {"app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*"}) {
    origins_.emplace_back(program);
  }
  for (const std::string& key : options.api_keys) key_digests_.push_back(digest_of(key));
}

bool Gate::allows_origin(std::string_view origin) const {
  return std::any_of(origins_.begin(), origins_.end(),
                     [origin](const std::string& pattern) { return matches(pattern, origin); });
}

Gate::Verdict Gate::judge(const HttpRequest& request) const {
  Verdict verdict;
  const std::string_view host = request.header("host");
  if (checks_host_ && !is_near_host(host_without_port(host), host_name_)) {
    verdict.status = 403;
    verdict.message = "Host: got a name that is not this machine's; a server for others is started with --host";
    return verdict;
  }
  const std::string_view origin = request.header("origin");
  const bool is_preflight = request.method == "OPTIONS";
  if (!origin.empty() && origin != "http://" + std::string(host) && origin != "https://" + std::string(host)) {
    verdict.headers.emplace_back("Vary", "Origin");
    if (!allows_origin(origin)) {
      verdict.status = 403;
      verdict.message = "Origin: got one that is not allowed; HOTARU_ORIGINS lists those that are";
      return verdict;
    }
    verdict.headers.emplace_back("Access-Control-Allow-Origin", origin);
    verdict.headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id");
  }
  if (is_preflight) {
    verdict.status = 204;
    verdict.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
    const std::string_view wanted = request.header("access-control-request-headers");
    if (!wanted.empty()) verdict.headers.emplace_back("Access-Control-Allow-Headers", wanted);
    verdict.headers.emplace_back("Access-Control-Max-Age", "43200");
  }
  return verdict;
}

bool Gate::has_key(const HttpRequest& request) const {
  if (key_digests_.empty()) return true;
  std::string_view given = request.header("x-api-key");
  const std::string_view authorization = request.header("authorization");
  if (lower(authorization.substr(0, 7)) == "bearer ") given = authorization.substr(7);
  const std::string digest = digest_of(given);
  bool found = false;
  for (const std::string& known : key_digests_) found |= memeql_sec(known.data(), digest.data(), digest.size()) != 0;
  return found;
}

}  // namespace hotaru::server
