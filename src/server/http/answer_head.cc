#include "server/http/answer_head.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

namespace hotaru::server {
namespace {

constexpr auto kReasons = std::to_array<std::pair<int, std::string_view>>({
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Payload Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Entity"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {507, "Insufficient Storage"},
});

bool stays_on_its_line(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != '\x7f'; });
}

}  // namespace

std::string_view reason_of(int status) {
  const auto* found =
      std::find_if(kReasons.begin(), kReasons.end(), [=](const auto& row) { return row.first == status; });
  return found == kReasons.end() ? "Unknown" : found->second;
}

std::string head_text(const AnswerHead& head) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\n", head.status,
                                 reason_of(head.status), fmt::gmtime(std::time(nullptr)));
  const auto add = [&text](std::string_view name, std::string_view value) {
    if (stays_on_its_line(name) && stays_on_its_line(value)) text += fmt::format("{}: {}\r\n", name, value);
  };
  if (!head.content_type.empty() && head.status != 204) add("Content-Type", head.content_type);
  for (const auto& [name, value] : head.headers) add(name, value);
  if (head.content_bytes && head.status != 204) add("Content-Length", std::to_string(*head.content_bytes));
  if (head.is_chunked) add("Transfer-Encoding", "chunked");
  add("Connection", head.keeps_alive ? "keep-alive" : "close");
  return text + "\r\n";
}

std::string chunk_text(std::string_view bytes, bool is_last) {
  std::string text;
  if (!bytes.empty()) text = fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
  if (is_last) text += "0\r\n\r\n";
  return text;
}

}  // namespace hotaru::server
