#include "server/http/gate.h"

#include <gtest/gtest.h>

namespace hotaru::server {
namespace {

HttpRequest with_headers(NamedValues headers, std::string method = "GET") {
  HttpRequest request;
  request.method = std::move(method);
  request.headers = std::move(headers);
  return request;
}

std::string header_of(const Gate::Verdict& verdict, std::string_view name) {
  for (const auto& [key, value] : verdict.headers) {
    if (key == name) return value;
  }
  return "none";
}

TEST(Gate, KnowsTheNamesOfThisMachine) {
  const Gate gate(GateOptions{});
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1:11434", "127.9.9.9", "[::1]:11434", "0.0.0.0:80",
                           "192.168."
                           "1.5",
                           "a.localhost", "printer.local:1", "host.docker.internal:11434", ""}) {
    EXPECT_EQ(gate.judge(with_headers({{"host", host}})).status, 0) << host;
  }
  for (const char* host : {"example.org", "localhost.example.org", "127.0.0.1.example.org", "8.8.8.8", "xlocalhost",
                           "evil.org:11434", "[2001:db8::1]"}) {
    EXPECT_EQ(gate.judge(with_headers({{"host", host}})).status, 403) << host;
  }
  GateOptions open;
  open.checks_host = false;
  EXPECT_EQ(Gate(open).judge(with_headers({{"host", "example.org"}})).status, 0);
}

TEST(Gate, AllowsOriginsOfThisMachineAndListedOnes) {
  GateOptions options;
  options.origins = {"https://example.org", "chrome-extension://*"};
  const Gate gate(options);
  for (const char* origin : {"http://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:1",
                             "app://obsidian.md", "https://example.org", "chrome-extension://abc"}) {
    const auto verdict = gate.judge(with_headers({{"origin", origin}, {"host", "localhost:11434"}}));
    EXPECT_EQ(verdict.status, 0) << origin;
    EXPECT_EQ(header_of(verdict, "Access-Control-Allow-Origin"), origin);
    EXPECT_EQ(header_of(verdict, "Vary"), "Origin");
  }
  for (const char* origin : {"http://example.org", "https://example.org.evil.org", "http://localhost.evil.org", "null",
                             "http://localhostx", "https://example.org:8443"}) {
    const auto verdict = gate.judge(with_headers({{"origin", origin}, {"host", "localhost:11434"}}));
    EXPECT_EQ(verdict.status, 403) << origin;
    EXPECT_EQ(header_of(verdict, "Access-Control-Allow-Origin"), "none") << origin;
  }
  options.origins = {"*"};
  EXPECT_EQ(Gate(options).judge(with_headers({{"origin", "https://anything"}})).status, 0);
}

TEST(Gate, TheServersOwnPagesNeedNoPermission) {
  GateOptions options;
  options.checks_host = false;
  const auto verdict = Gate(options).judge(with_headers({{"origin", "http://box:11434"}, {"host", "box:11434"}}));
  EXPECT_EQ(verdict.status, 0);
  EXPECT_EQ(header_of(verdict, "Access-Control-Allow-Origin"), "none");
}

TEST(Gate, AnswersPreflights) {
  const auto verdict = Gate(GateOptions{})
                           .judge(with_headers({{"origin", "http://localhost:3000"},
                                                {"access-control-request-headers", "authorization,x-stainless-os"}},
                                               "OPTIONS"));
  EXPECT_EQ(verdict.status, 204);
  EXPECT_EQ(header_of(verdict, "Access-Control-Allow-Headers"), "authorization,x-stainless-os");
  EXPECT_EQ(header_of(verdict, "Access-Control-Max-Age"), "43200");
}

TEST(Gate, WantsAKeyIfThereAreAny) {
  EXPECT_TRUE(Gate(GateOptions{}).has_key(with_headers({})));
  GateOptions options;
  options.api_keys = {"first", "second"};
  const Gate gate(options);
  EXPECT_TRUE(gate.has_key(with_headers({{"authorization", "Bearer first"}})));
  EXPECT_TRUE(gate.has_key(with_headers({{"authorization", "bearer second"}})));
  EXPECT_TRUE(gate.has_key(with_headers({{"x-api-key", "second"}})));
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer firs", "Bearer first ", "Basic first", "first"}) {
    EXPECT_FALSE(gate.has_key(with_headers({{"authorization", wrong}}))) << wrong;
  }
  EXPECT_FALSE(gate.has_key(with_headers({})));
}

}  // namespace
}  // namespace hotaru::server
