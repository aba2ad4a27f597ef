// Requests and answers over real sockets.
#include "server/http/http_server.h"

#include <gmock/gmock.h>

#include <stdexcept>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "server/http/server_fixture.h"

namespace hotaru::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kHost = " HTTP/1.1\r\nHost: localhost\r\n";

std::string get(const std::string& path, const std::string& headers = {}) {
  return "GET " + path + kHost + headers + "\r\n";
}

std::string post(const std::string& path, const std::string& body, const std::string& headers = {}) {
  return "POST " + path + kHost + headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  on_text("POST", "/echo/{name}", [](const HttpRequest& request) {
    return request.method + " " + std::string(request.parameter("name")) + " " + std::string(request.query_value("q")) +
           " " + std::string(request.header("x-some")) + " " + request.body;
  });
  start();
  SocketClient client(port());
  for (int i = 0; i < 3; i++) {
    const auto answer = client.ask(post("/echo/a%20b?q=%C3%A9", "body", "X-Some: thing\r\n"));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "POST a b \xC3\xA9 thing body");
    EXPECT_EQ(answer.header("Content-Type"), "text/plain");
    EXPECT_EQ(answer.header("Connection"), "keep-alive");
    EXPECT_THAT(answer.header("Date"), HasSubstr(" GMT"));
  }
  EXPECT_EQ(client.ask(get("/echo/x", "Connection: close\r\n")).status, 405);
  EXPECT_TRUE(client.is_closed());
  EXPECT_EQ(record(0).body_bytes, 22U);
  EXPECT_EQ(record(0).route, "/echo/{name}");
  EXPECT_EQ(record(0).client, "127.0.0.1");
  EXPECT_EQ(record(3).status, 405);
}

TEST_F(ServerTest, NoBytesOfPipelinedRequestsAreLost) {
  on_text("POST", "/echo", [](const HttpRequest& request) { return request.body; });
  start();
  std::string requests;
  for (int i = 0; i < 500; i++) requests += post("/echo", "number " + std::to_string(i));
  SocketClient client(port());
  std::thread sender([&] {  // in parts that end anywhere, while others are answered
    for (size_t sent = 0, part = 1; sent < requests.size(); sent += part, part = part * 31 % 1009 + 1) {
      client.send(std::string_view(requests).substr(sent, part));
    }
  });
  for (int i = 0; i < 500; i++) EXPECT_EQ(client.read_answer().body, "number " + std::to_string(i));
  sender.join();
  for (const char byte : post("/echo", "byte by byte")) ASSERT_TRUE(client.send({&byte, 1}));
  EXPECT_EQ(client.read_answer().body, "byte by byte");
}

TEST_F(ServerTest, BodiesMayComeInChunks) {
  on_text("POST", "/echo", [](const HttpRequest& request) { return request.body; });
  start();
  SocketClient client(port());
  const std::string head = "POST /echo" + kHost + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(client.ask(head + "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n").body, "abcde");
  const std::string large(100000, 'x');
  EXPECT_EQ(client.ask(head + "186a0\r\n" + large + "\r\n0\r\n\r\n").body, large);
  EXPECT_EQ(client.ask(head + "zz\r\n").status, 400);
  EXPECT_TRUE(client.is_closed());
}

TEST_F(ServerTest, WaitsWith100ForABody) {
  on_text("POST", "/echo", [](const HttpRequest& request) { return request.body; });
  options_.body_bytes = 1000;
  start();
  SocketClient client(port());
  ASSERT_TRUE(client.send("POST /echo" + kHost + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
  EXPECT_EQ(client.read_answer(false).status, 100);
  EXPECT_EQ(client.ask("body").body, "body");
  EXPECT_EQ(client.ask("POST /echo" + kHost + "Expect: 100-continue\r\nContent-Length: 4000\r\n\r\n").status, 413);
}

TEST_F(ServerTest, HeadIsGetWithoutTheBody) {
  on_text("GET", "/text", [](const HttpRequest&) { return "four"; });
  start();
  SocketClient client(port());
  const auto answer = client.ask("HEAD /text" + kHost + "\r\n", false);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Content-Length"), "4");
  EXPECT_EQ(client.ask(get("/text")).body, "four");
}

TEST_F(ServerTest, OldClientsGetNoChunks) {
  const auto state = std::make_shared<TestStream::State>();
  on("GET", "/stream", TestStream::handler(state));
  start();
  state->push("a", false);
  state->push("b", true);
  SocketClient client(port());
  const auto answer = client.ask("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_EQ(answer.body, "ab");
  EXPECT_EQ(answer.header("Transfer-Encoding"), "none");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(client.is_closed());
}

TEST_F(ServerTest, SaysWhatIsNotThere) {
  on_text("POST", "/api/chat", [](const HttpRequest&) { return ""; });
  start();
  SocketClient client(port());
  auto answer = client.ask(get("/v1/nothing"));
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(Json::parse(answer.body)["error"]["message"], "there is no '/v1/nothing' here");
  answer = client.ask(get("/api/chat"));
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.header("Allow"), "POST");
  EXPECT_EQ(answer.body, R"({"error":"/api/chat has no GET, only POST"})");
}

TEST_F(ServerTest, RefusesWhatIsNoHttp) {
  on_text("POST", "/echo", [](const HttpRequest& request) { return request.body; });
  start();
  for (const std::string& request : {std::string("hello\r\n\r\n"), get("/%zz"), std::string("GET / HTTP/1.1\r\n\r\n"),
                                     get("/", "Host: localhost\r\n"), std::string("GET / HTTP/3.9\r\n\r\n"),
                                     get("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
                                     get("/", "Content-Length: -1\r\n"), get("/", "A b: c\r\n")}) {
    SocketClient client(port());
    EXPECT_EQ(client.ask(request).status, 400) << request;
  }
  std::string many;
  for (int i = 0; i < 25000; i++) many += "A: b\r\n";
  const std::string chunks = "POST /echo" + kHost + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
  for (const std::string& too_long :
       {get("/", "X: " + std::string(70000, 'x') + "\r\n"), get("/", many), chunks + many}) {
    SocketClient client(port());
    client.send(too_long);
    EXPECT_EQ(client.read_answer().status, 431);
    EXPECT_TRUE(client.is_closed());
  }
}

TEST_F(ServerTest, LimitsBodies) {
  on_text("POST", "/echo", [](const HttpRequest& request) { return request.body; });
  options_.body_bytes = 1000;
  start();
  SocketClient known(port());
  EXPECT_EQ(known.ask(post("/echo", std::string(1001, 'x'))).status, 413);
  EXPECT_TRUE(known.is_closed());
  SocketClient chunked(port());
  EXPECT_EQ(
      chunked.ask("POST /echo" + kHost + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x')).status,
      413);
  SocketClient fits(port());
  EXPECT_EQ(fits.ask(post("/echo", std::string(1000, 'x'))).status, 200);
}

TEST_F(ServerTest, LimitsBodiesOfAllRequestsTogether) {
  on_text("POST", "/echo", [](const HttpRequest& request) { return request.body; });
  options_.all_body_bytes = 1500;
  start();
  SocketClient first(port()), second(port());
  const std::string request = post("/echo", std::string(1000, 'x'));
  ASSERT_TRUE(first.send(std::string_view(request).substr(0, request.size() - 1)));
  ASSERT_FALSE(first.read_some(200));  // arrived
  EXPECT_EQ(second.ask(request).status, 503);
  EXPECT_EQ(first.ask("x").status, 200);
  SocketClient third(port());
  EXPECT_EQ(third.ask(request).status, 200);  // given back
}

TEST_F(ServerTest, PutsBodiesIntoFiles) {
  const std::string kept = folder_ / "kept";
  router_.add({.method = "POST",
               .path = "/file",
               .handler =
                   [&](const std::shared_ptr<Exchange>& exchange) {
                     const std::string& file = exchange->request().body_file;
                     HttpResponse response;
                     response.body = *read_text_file(file);
                     if (response.body.size() > 10) std::filesystem::rename(file, kept);
                     exchange->respond(std::move(response));
                   },
               .body = BodyKind::kFile});
  options_.body_bytes = 100;  // not for files
  options_.file_body_bytes = 10 << 20;
  start();
  SocketClient client(port());
  EXPECT_EQ(client.ask(post("/file", "small")).body, "small");
  EXPECT_EQ(client.ask(post("/file", "")).body, "");
  EXPECT_TRUE(comes_true([&] { return files() == 0; }));
  std::string large;
  for (int i = 0; large.size() < 5'000'000; i++) large += std::to_string(i);
  EXPECT_TRUE(client.ask(post("/file", large)).body == large);
  EXPECT_TRUE(*read_text_file(kept) == large);
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(client.ask(post("/file", std::string((10 << 20) + 1, 'x'))).status, 413);
}

TEST_F(ServerTest, AFileThatIsCutHalfWayIsRemoved) {
  router_.add({.method = "POST", .path = "/file", .handler = [](const auto&) { FAIL(); }, .body = BodyKind::kFile});
  start();
  SocketClient client(port());
  client.send("POST /file" + kHost + "Content-Length: 3000000\r\n\r\n" + std::string(2000000, 'x'));
  EXPECT_TRUE(comes_true([&] { return files() == 1; }));
  client.leave();
  EXPECT_TRUE(comes_true([&] { return files() == 0; }));
  EXPECT_TRUE(record(0).is_cut);
}

TEST_F(ServerTest, AFolderThatIsGoneIsAnError) {
  router_.add({.method = "POST", .path = "/file", .handler = [](const auto&) { FAIL(); }, .body = BodyKind::kFile});
  options_.file_folder = folder_ / "none";
  start();
  SocketClient client(port());
  const auto answer = client.ask(post("/file", "x"));
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("No such file"));
}

TEST_F(ServerTest, WantsKeysButNotForOpenRoutes) {
  options_.api_keys = {"secret"};
  on_text("GET", "/v1/models", [](const HttpRequest&) { return "models"; });
  router_.add({.method = "GET",
               .path = "/healthz",
               .handler = [](const auto& exchange) { exchange->respond({}); },
               .access = Access::kOpen});
  start();
  SocketClient client(port());
  const auto answer = client.ask(get("/v1/models"));
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "invalid_api_key");
  EXPECT_EQ(client.ask(get("/nothing")).status, 401);  // does not say what there is
  EXPECT_EQ(client.ask(get("/v1/models", "Authorization: Bearer secret\r\n")).body, "models");
  EXPECT_EQ(client.ask(get("/healthz")).status, 200);
}

TEST_F(ServerTest, KeepsForeignPagesOut) {
  on_text("GET", "/", [](const HttpRequest&) { return "here"; });
  options_.origins = {"https://example.org"};
  start();
  SocketClient client(port());
  EXPECT_EQ(client.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
  EXPECT_EQ(client.ask(get("/", "Origin: https://evil.example\r\n")).status, 403);
  EXPECT_EQ(client.ask(get("/", "Origin: https://example.org\r\n")).header("Access-Control-Allow-Origin"),
            "https://example.org");
  const auto preflight = client.ask("OPTIONS /" + kHost + "Origin: https://example.org\r\n\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_THAT(preflight.header("Access-Control-Allow-Methods"), HasSubstr("DELETE"));
  EXPECT_EQ(client.ask(get("/")).body, "here");
}

TEST_F(ServerTest, NamesRequests) {
  on_text("GET", "/", [](const HttpRequest& request) { return request.id; });
  start();
  SocketClient client(port());
  EXPECT_EQ(client.ask(get("/", "X-Request-Id: mine-1\r\n")).header("X-Request-Id"), "mine-1");
  EXPECT_EQ(record(0).id, "mine-1");
  const auto answer = client.ask(get("/", "X-Request-Id: <script>\r\n"));
  EXPECT_EQ(answer.header("X-Request-Id").size(), 16U);
  EXPECT_EQ(answer.body, answer.header("X-Request-Id"));
  EXPECT_NE(client.ask(get("/")).body, answer.body);
}

TEST_F(ServerTest, NobodyWaitsForAHandlerThatFails) {
  on("GET", "/throws", [](const auto&) { throw std::runtime_error("oh"); });
  on("GET", "/forgets", [](const auto&) {});
  on_text("GET", "/", [](const HttpRequest&) { return "here"; });
  start();
  SocketClient client(port());
  EXPECT_EQ(client.ask(get("/throws")).body, R"({"error":"internal error: oh"})");
  EXPECT_EQ(client.ask(get("/forgets")).status, 500);
  EXPECT_EQ(client.ask(get("/")).body, "here");
}

TEST_F(ServerTest, AnAddressThatIsTakenIsNamed) {
  start();
  HttpServerOptions other;
  other.port = port();
  const auto refused = HttpServer::create(other, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "127.0.0.1:" + std::to_string(port()) + ": Address already in use");
  EXPECT_EQ(server_->address(), "http://127.0.0.1:" + std::to_string(port()));
  other.host = "no such host";
  EXPECT_THAT(HttpServer::create(other, {}).error().message, StartsWith("no such host:"));
}

}  // namespace
}  // namespace hotaru::server
