#include "cli/serve_settings.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"

namespace hotaru::cli {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

// The trimmed parts that are not empty.
std::vector<std::string> parts_of(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    if (!trimmed(part).empty()) parts.emplace_back(trimmed(part));
  }
  return parts;
}

}  // namespace

Result<ServerPlace> parse_server_place(std::string_view text, const ServerPlace& fallback) {
  const std::string_view whole = text;
  text = trimmed(text);
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) text.remove_prefix(scheme + 3);
  text = text.substr(0, text.find('/'));
  const bool has_brackets = text.starts_with('[');
  const size_t host_end = has_brackets ? text.find(']') : 0;
  if (host_end == std::string_view::npos) return invalid("got '{}', want HOST, HOST:PORT or :PORT", whole);
  // An IPv6 address without brackets has several colons, and no port.
  size_t colon = text.find(':', host_end);
  if (!has_brackets && colon != text.rfind(':')) colon = std::string_view::npos;
  ServerPlace place = fallback;
  std::string_view host = text.substr(0, colon);
  if (has_brackets) host = text.substr(1, host_end - 1);
  if (!host.empty()) place.host = host;
  if (colon == std::string_view::npos) return place;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), place.port);
  if (error != std::errc() || end != port.data() + port.size()) {
    return invalid("got port '{}', want a number in [0, 65535]", port);
  }
  return place;
}

std::vector<std::string> parse_origins(std::string_view text) { return parts_of(text, ','); }

Result<std::vector<std::string>> read_api_keys(const std::string& path) {
  constexpr size_t kLargestFile = size_t{1} << 20;
  TRY_ASSIGN(const std::string text, read_text_file(path, kLargestFile));
  std::vector<std::string> keys = parts_of(text, '\n');
  std::erase_if(keys, [](const std::string& line) { return line.starts_with('#'); });
  if (keys.empty()) return invalid("{}: got no key, want one a line", path);
  return keys;
}

}  // namespace hotaru::cli
