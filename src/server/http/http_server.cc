#include "server/http/http_server.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <utility>
#include <vector>

#include "server/http/connection.h"
#include "server/http/gate.h"

namespace hotaru::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Beyond the limit so many are told so; more are closed without a word.
constexpr size_t kTurnedAway = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};  // out of file descriptors: some will come free

class BeastServer : public HttpServer {
 public:
  BeastServer(HttpServerOptions options, Router router)
      : options_(std::move(options)),
        router_(std::move(router)),
        acceptor_(io_),
        accept_timer_(io_),
        grace_timer_(io_),
        workers_(static_cast<size_t>(options_.workers)) {}

  ~BeastServer() override {
    close_all();
    workers_.stop();
    workers_.join();
  }

  Result<void> listen() {
    error_code error;
    const auto wrong = [this, &error] {
      return make_error(ErrorKind::kIo, "{}:{}: {}", options_.host, options_.port, error.message());
    };
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(options_.host, std::to_string(options_.port), tcp::resolver::passive, error);
    if (error) return wrong();
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return wrong();
    bound_ = acceptor_.local_endpoint(error);
    if (error) return wrong();
    gate_ = Gate(
        {.checks_host = bound_.address().is_loopback(), .origins = options_.origins, .api_keys = options_.api_keys});
    accept();
    return {};
  }

  [[nodiscard]] uint16_t port() const override { return bound_.port(); }

  [[nodiscard]] std::string address() const override {
    const auto ip = bound_.address();
    return fmt::format("http://{}:{}", ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string(), bound_.port());
  }

  void run() override { io_.run(); }

  void stop(std::chrono::milliseconds grace) override {
    asio::post(io_, [this, grace] {
      error_code ignored;
      acceptor_.close(ignored);
      accept_timer_.cancel();
      if (home_.is_stopping) return close_all();
      home_.is_stopping = true;
      for (const auto& connection : all()) connection->stop();
      if (grace.count() <= 0) return close_all();
      grace_timer_.expires_after(grace);
      grace_timer_.async_wait([this](error_code error) {
        if (!error) close_all();
      });
      if (home_.connections.empty()) grace_timer_.cancel();
    });
  }

 private:
  // A copy: closing takes them out of the set.
  [[nodiscard]] std::vector<std::shared_ptr<Connection>> all() const {
    return {home_.connections.begin(), home_.connections.end()};
  }

  void close_all() {
    for (const auto& connection : all()) connection->close();
    grace_timer_.cancel();
  }

  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) return accept_later();
      welcome(std::move(socket));
      accept();
    });
  }

  void accept_later() {
    accept_timer_.expires_after(kAcceptPause);
    accept_timer_.async_wait([this](error_code error) {
      if (!error) accept();
    });
  }

  void welcome(tcp::socket socket) {
    const auto limit = static_cast<size_t>(options_.connections);
    if (home_.connections.size() >= limit + kTurnedAway) return;  // the socket closes itself
    auto connection = std::make_shared<Connection>(std::move(socket), home_);
    const bool is_one_too_many = home_.connections.size() >= limit;
    home_.connections.insert(connection);
    if (is_one_too_many) return connection->turn_away();
    connection->start();
  }

  const HttpServerOptions options_;
  const Router router_;
  Gate gate_{GateOptions{}};
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  tcp::endpoint bound_;
  asio::steady_timer accept_timer_, grace_timer_;
  asio::thread_pool workers_;  // gone before `io_`: its work may hold connections
  ConnectionHome home_{.options = options_,
                       .router = router_,
                       .gate = gate_,
                       .io = io_,
                       .workers = workers_,
                       .on_empty =
                           [this] {
                             if (home_.is_stopping) grace_timer_.cancel();
                           },
                       .connections = {}};
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::create(HttpServerOptions options, Router router) {
  auto server = std::make_unique<BeastServer>(std::move(options), std::move(router));
  TRY(server->listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace hotaru::server
