#include "server/http/exchange.h"

namespace hotaru::server {
namespace {

std::string_view first_of(const NamedValues& values, std::string_view name) {
  for (const auto& [key, value] : values) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

std::string_view HttpRequest::header(std::string_view lower_case_name) const {
  return first_of(headers, lower_case_name);
}
std::string_view HttpRequest::parameter(std::string_view name) const { return first_of(parameters, name); }
std::string_view HttpRequest::query_value(std::string_view name) const { return first_of(query, name); }

}  // namespace hotaru::server
