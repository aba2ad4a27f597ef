#include "server/http/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace hotaru::server {
namespace {

struct Fit {
  NamedValues parameters;
  std::string rank;  // one character a part, so that the smallest is the route that says most: word, {one}, {rest...}
};

// The part up to the next '/', taken off `rest` together with the slash.
std::string_view take_part(std::string_view& rest) {
  const size_t end = std::min(rest.find('/'), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

std::optional<Fit> fit(std::string_view pattern, std::string_view path) {
  if (!pattern.starts_with('/') || !path.starts_with('/')) return {};
  if (pattern.ends_with('/') != path.ends_with('/') && !pattern.ends_with("...}")) return {};
  pattern.remove_prefix(1);
  path.remove_prefix(1);
  Fit fit;
  while (!pattern.empty() && !path.empty()) {
    std::string_view wanted = take_part(pattern);
    if (!wanted.starts_with('{')) {
      if (take_part(path) != wanted) return {};
      fit.rank += 'a';
      continue;
    }
    wanted = wanted.substr(1, wanted.size() - 2);
    if (wanted.ends_with("...")) {
      fit.parameters.emplace_back(wanted.substr(0, wanted.size() - 3), path);
      fit.rank += 'c';
      return fit;
    }
    const std::string_view value = take_part(path);
    if (value.empty()) return {};
    fit.parameters.emplace_back(wanted, value);
    fit.rank += 'b';
  }
  if (!pattern.empty() || !path.empty()) return {};
  return fit;
}

void add_method(std::vector<std::string_view>& methods, std::string_view method) {
  if (std::find(methods.begin(), methods.end(), method) == methods.end()) methods.push_back(method);
}

}  // namespace

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  std::string best_rank;
  bool is_own = false;  // not GET's in place of HEAD's
  std::vector<std::string_view> methods;
  for (const Route& route : routes_) {
    auto fitting = fit(route.path, path);
    if (!fitting) continue;
    add_method(methods, route.method);
    if (route.method == "GET") add_method(methods, "HEAD");
    const bool own = route.method == method;
    if (!own && !(method == "HEAD" && route.method == "GET")) continue;
    if (match.route != nullptr && std::pair(fitting->rank, !own) >= std::pair(best_rank, !is_own)) continue;
    match.route = &route;
    match.parameters = std::move(fitting->parameters);
    best_rank = std::move(fitting->rank);
    is_own = own;
  }
  std::sort(methods.begin(), methods.end());
  match.allowed = fmt::format("{}", fmt::join(methods, ", "));
  return match;
}

}  // namespace hotaru::server
