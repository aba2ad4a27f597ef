#include "server/http/request_counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hotaru::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Router routes() {
  Router router;
  router.add({.method = "GET", .path = "/api/tags", .handler = {}});
  router.add({.method = "POST", .path = "/api/chat", .handler = {}});
  return router;
}

RequestRecord record(std::string method, std::string route, int status, std::chrono::milliseconds duration) {
  RequestRecord record;
  record.method = std::move(method);
  record.route = std::move(route);
  record.status = status;
  record.duration = duration;
  record.body_bytes = 10;
  return record;
}

TEST(RequestCounters, CountByRouteAndStatus) {
  RequestCounters counters(routes());
  counters.count(record("GET", "/api/tags", 200, std::chrono::milliseconds(1)));
  counters.count(record("HEAD", "/api/tags", 200, std::chrono::milliseconds(100)));
  counters.count(record("GET", "/api/tags", 418, std::chrono::milliseconds(1)));
  counters.count(record("GET", "", 404, std::chrono::milliseconds(1)));
  RequestRecord cut = record("POST", "/api/chat", 200, std::chrono::seconds(60));
  cut.is_cut = true;
  counters.count(cut);
  const std::string text = counters.text();
  for (const char* line : {"hotaru_http_requests_total{method=\"GET\",route=\"/api/tags\",status=\"200\"} 2\n",
                           "hotaru_http_requests_total{method=\"GET\",route=\"/api/tags\",status=\"other\"} 1\n",
                           "hotaru_http_requests_total{method=\"\",route=\"\",status=\"404\"} 1\n",
                           "hotaru_http_request_seconds_bucket{method=\"GET\",route=\"/api/tags\",le=\"0.005\"} 2\n",
                           "hotaru_http_request_seconds_bucket{method=\"GET\",route=\"/api/tags\",le=\"0.5\"} 3\n",
                           "hotaru_http_request_seconds_bucket{method=\"POST\",route=\"/api/chat\",le=\"50\"} 0\n",
                           "hotaru_http_request_seconds_bucket{method=\"POST\",route=\"/api/chat\",le=\"+Inf\"} 1\n",
                           "hotaru_http_request_seconds_sum{method=\"POST\",route=\"/api/chat\"} 60\n",
                           "hotaru_http_request_seconds_count{method=\"GET\",route=\"/api/tags\"} 3\n",
                           "hotaru_http_body_bytes_total{method=\"GET\",route=\"/api/tags\"} 30\n",
                           "hotaru_http_cut_total{method=\"POST\",route=\"/api/chat\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(RequestCounters(routes()).text(), Not(HasSubstr("route=")));
}

TEST(MetricLabel, IsEscaped) { EXPECT_EQ(metric_label("a\"b\\c\nd"), "a\\\"b\\\\c d"); }

}  // namespace
}  // namespace hotaru::server
