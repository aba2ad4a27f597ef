#include "server/http/target.h"

#include <algorithm>

#include "base/json.h"

namespace hotaru::server {
namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// nlohmann's writer refuses what is none.
bool is_utf8(const std::string& text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

Result<std::string> decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? digit_of(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
      if (high < 0 || low < 0) return invalid("address: got '{}', want %XX", text.substr(i, 3));
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') return invalid("address: holds a control character");
    decoded += c;
  }
  if (!is_utf8(decoded)) return invalid("address: not UTF-8");
  return decoded;
}

Result<NamedValues> parse_query(std::string_view text) {
  NamedValues query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    TRY_ASSIGN(std::string name, decode(pair.substr(0, equals), true));
    TRY_ASSIGN(std::string value, decode(pair.substr(std::min(equals + 1, pair.size())), true));
    query.emplace_back(std::move(name), std::move(value));
  }
  return query;
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    text.remove_prefix(std::min(text.find('/', scheme.size()), text.size()));
    if (text.empty()) text = "/";
  }
  text = text.substr(0, text.find('#'));
  const size_t question = std::min(text.find('?'), text.size());
  Target target;
  TRY_ASSIGN(target.path, decode(text.substr(0, question), false));
  TRY_ASSIGN(target.query, parse_query(text.substr(std::min(question + 1, text.size()))));
  return target;
}

}  // namespace hotaru::server
