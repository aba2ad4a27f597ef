// For tests: a client that sends exactly the bytes it is told to, and reads as slowly as it is told to.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace hotaru::server {

class SocketClient {
 public:
  struct Answer {
    int status = 0;  // 0: the server closed without one
    std::string head, body;
    [[nodiscard]] std::string header(std::string_view name) const {
      const size_t at = head.find("\r\n" + std::string(name) + ": ");
      if (at == std::string::npos) return "none";
      const size_t begin = at + name.size() + 4;
      return head.substr(begin, head.find("\r\n", begin) - begin);
    }
  };

  // `receive_bytes`: of the kernel's buffer; small ones make a client slow.
  explicit SocketClient(uint16_t port, int receive_bytes = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    CHECK(socket_ >= 0);
    if (receive_bytes > 0) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~SocketClient() { leave(); }
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  // False: the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  Answer ask(std::string_view request, bool has_body = true) {
    send(request);
    return read_answer(has_body);
  }
  void leave() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  void half_close() { shutdown(socket_, SHUT_WR); }

  // One answer; what follows it stays for the next.
  Answer read_answer(bool has_body = true) {
    Answer answer;
    const size_t end = read_past("\r\n\r\n");
    if (end == 0) return answer;
    answer.head = take(end);
    answer.status = std::atoi(answer.head.c_str() + 9);
    if (!has_body || answer.status == 204) return answer;
    if (answer.header("Transfer-Encoding") == "chunked") {
      for (;;) {
        const size_t line = read_past("\r\n");
        if (line == 0) return answer;
        const size_t bytes = std::strtoul(take(line).c_str(), nullptr, 16);
        while (held_.size() < bytes + 2 && read_some()) continue;
        answer.body += take(std::min(bytes, held_.size()));
        take(std::min<size_t>(2, held_.size()));
        if (bytes == 0) return answer;
      }
    }
    const std::string length = answer.header("Content-Length");
    const size_t bytes = length == "none" ? SIZE_MAX : std::strtoul(length.c_str(), nullptr, 10);
    while (held_.size() < bytes && read_some()) continue;
    answer.body = take(std::min(bytes, held_.size()));
    return answer;
  }
  // Nothing more comes: the server has closed its side.
  bool is_closed(int timeout_ms = 10000) {
    while (read_some(timeout_ms)) continue;
    return closed_;
  }
  // Whatever has arrived.
  bool read_some(int timeout_ms = 10000) {
    pollfd poll_socket{socket_, POLLIN, 0};
    if (poll(&poll_socket, 1, timeout_ms) <= 0) return false;
    std::string bytes(4096, '\0');
    const ssize_t got = recv(socket_, bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      closed_ = true;
      return false;
    }
    held_.append(bytes, 0, static_cast<size_t>(got));
    return true;
  }
  [[nodiscard]] const std::string& held() const { return held_; }

 private:
  // Where the first `mark` ends; 0: it never comes.
  size_t read_past(std::string_view mark) {
    for (;;) {
      const size_t at = held_.find(mark);
      if (at != std::string::npos) return at + mark.size();
      if (!read_some()) return 0;
    }
  }
  std::string take(size_t bytes) {
    std::string taken = held_.substr(0, bytes);
    held_.erase(0, bytes);
    return taken;
  }

  int socket_;
  bool closed_ = false;
  std::string held_;
};

}  // namespace hotaru::server
