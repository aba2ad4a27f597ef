#include "server/http/request_record.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

#include "base/json.h"

namespace hotaru::server {
namespace {

std::string time_text(std::chrono::system_clock::time_point now) {
  const auto since = now.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(since - seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(seconds.count())),
                     rest.count());
}

}  // namespace

std::string log_line(const RequestRecord& record, LogFormat format, std::chrono::system_clock::time_point now) {
  const double milliseconds = static_cast<double>(record.duration.count()) / 1e6;
  if (format == LogFormat::kText) {
    return fmt::format("{} {} {} {} {:.1f} ms {} B {} {}{}\n", time_text(now), record.status, record.method,
                       record.path, milliseconds, record.body_bytes, record.client, record.id,
                       record.is_cut ? " cut" : "");
  }
  Json line;
  line["time"] = time_text(now);
  line["status"] = record.status;
  line["method"] = record.method;
  line["path"] = record.path;
  line["route"] = record.route;
  line["duration_ms"] = milliseconds;
  line["body_bytes"] = record.body_bytes;
  line["client"] = record.client;
  line["request_id"] = record.id;
  line["is_cut"] = record.is_cut;
  return line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace hotaru::server
