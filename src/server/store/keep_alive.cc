#include <cmath>

#include "base/size_text.h"
#include "server/store/model_pool.h"

namespace hotaru::server {
namespace {

constexpr KeepAlive kForever{-1};

}  // namespace

Result<KeepAlive> parse_keep_alive(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  const auto refused = [text] {
    return invalid("got '{}', want a number of seconds or a duration such as 5m or 1h30m", text.substr(0, 40));
  };
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  const Result<std::chrono::milliseconds> duration = parse_duration(text);
  if (!duration) return refused();
  return is_negative && duration->count() != 0 ? kForever : *duration;
}

Result<KeepAlive> parse_keep_alive(const Json& value) {
  if (value.is_string()) return parse_keep_alive(std::string_view(value.get_ref<const std::string&>()));
  if (!value.is_number()) return invalid("got {}, want a number of seconds or a duration such as \"5m\"", value.dump());
  const double seconds = value.get<double>();
  constexpr double kLongest = 1e12;  // beyond it, milliseconds in 64 bits end
  if (seconds < 0.0 || !(seconds < kLongest)) return kForever;
  return KeepAlive(std::llround(seconds * 1e3));
}

}  // namespace hotaru::server
