// How often each route was asked, how it answered and how long that took, for /metrics. One thread counts (the
// server's), any may read; neither waits.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "server/http/request_record.h"
#include "server/http/router.h"

namespace hotaru::server {

class RequestCounters {
 public:
  // The routes are known from the start: counting allocates nothing.
  explicit RequestCounters(const Router& router);
  void count(const RequestRecord& record);
  // Prometheus' text format: hotaru_http_requests_total, hotaru_http_request_seconds (histogram),
  // hotaru_http_body_bytes_total, hotaru_http_cut_total.
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::array kStatuses = {200, 201, 204, 400, 401, 403, 404, 405, 408, 409,
                                           413, 429, 431, 500, 501, 503, 504, 507, 0};  // 0: any other
  static constexpr std::array kSeconds = {0.005, 0.05, 0.5, 5.0, 50.0};
  struct Counts {
    std::string route, method;
    std::array<std::atomic<uint64_t>, kStatuses.size()> by_status{};
    std::array<std::atomic<uint64_t>, kSeconds.size() + 1> by_seconds{};  // up to each; the last: longer
    std::atomic<uint64_t> nanoseconds = 0, body_bytes = 0, cut = 0;
  };
  void add(const std::string& method, const std::string& route);

  std::deque<Counts> counts_;  // the first: requests that no route took
  std::unordered_map<std::string, Counts*> by_route_;
};

// "name{label="value"} " with what Prometheus wants escaped.
std::string metric_label(std::string_view value);

}  // namespace hotaru::server
