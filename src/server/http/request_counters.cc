#include "server/http/request_counters.h"

#include <fmt/format.h>

#include <algorithm>

namespace hotaru::server {
namespace {

void increase(std::atomic<uint64_t>& counter, uint64_t by = 1) { counter.fetch_add(by, std::memory_order_relaxed); }
uint64_t value_of(const std::atomic<uint64_t>& counter) { return counter.load(std::memory_order_relaxed); }

// HEAD counts as the GET that it is.
std::string key_of(const std::string& method, const std::string& route) {
  return (method == "HEAD" ? "GET" : method) + " " + route;
}

}  // namespace

std::string metric_label(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? ' ' : c;
  }
  return text;
}

RequestCounters::RequestCounters(const Router& router) {
  counts_.emplace_back();
  for (const Route& route : router.routes()) add(route.method, route.path);
}

void RequestCounters::add(const std::string& method, const std::string& route) {
  Counts& counts = counts_.emplace_back();
  counts.route = route;
  counts.method = method == "HEAD" ? "GET" : method;
  by_route_.emplace(key_of(method, route), &counts);
}

void RequestCounters::count(const RequestRecord& record) {
  const auto found = by_route_.find(key_of(record.method, record.route));
  Counts& counts = found == by_route_.end() ? counts_.front() : *found->second;
  const auto* status = std::find(kStatuses.begin(), kStatuses.end() - 1, record.status);
  increase(counts.by_status[static_cast<size_t>(status - kStatuses.begin())]);
  const double seconds = static_cast<double>(record.duration.count()) / 1e9;
  const auto* bound = std::lower_bound(kSeconds.begin(), kSeconds.end(), seconds);
  increase(counts.by_seconds[static_cast<size_t>(bound - kSeconds.begin())]);
  increase(counts.nanoseconds, static_cast<uint64_t>(record.duration.count()));
  increase(counts.body_bytes, record.body_bytes);
  if (record.is_cut) increase(counts.cut);
}

std::string RequestCounters::text() const {
  std::string requests = "# TYPE hotaru_http_requests_total counter\n";
  std::string seconds = "# TYPE hotaru_http_request_seconds histogram\n";
  std::string bytes = "# TYPE hotaru_http_body_bytes_total counter\n";
  std::string cut = "# TYPE hotaru_http_cut_total counter\n";
  for (const Counts& counts : counts_) {
    const std::string labels = fmt::format("method=\"{}\",route=\"{}\"", counts.method, metric_label(counts.route));
    for (size_t i = 0; i < kStatuses.size(); i++) {
      const uint64_t count = value_of(counts.by_status[i]);
      if (count == 0) continue;
      const std::string status = kStatuses[i] == 0 ? "other" : std::to_string(kStatuses[i]);
      requests += fmt::format("hotaru_http_requests_total{{{},status=\"{}\"}} {}\n", labels, status, count);
    }
    uint64_t up_to = 0;
    std::string buckets;
    for (size_t i = 0; i < counts.by_seconds.size(); i++) {
      up_to += value_of(counts.by_seconds[i]);
      const std::string bound = i < kSeconds.size() ? fmt::format("{}", kSeconds[i]) : "+Inf";
      buckets += fmt::format("hotaru_http_request_seconds_bucket{{{},le=\"{}\"}} {}\n", labels, bound, up_to);
    }
    if (up_to == 0) continue;
    seconds += buckets;
    seconds += fmt::format("hotaru_http_request_seconds_sum{{{}}} {}\n", labels,
                           static_cast<double>(value_of(counts.nanoseconds)) / 1e9);
    seconds += fmt::format("hotaru_http_request_seconds_count{{{}}} {}\n", labels, up_to);
    bytes += fmt::format("hotaru_http_body_bytes_total{{{}}} {}\n", labels, value_of(counts.body_bytes));
    cut += fmt::format("hotaru_http_cut_total{{{}}} {}\n", labels, value_of(counts.cut));
  }
  return requests + seconds + bytes + cut;
}

}  // namespace hotaru::server
