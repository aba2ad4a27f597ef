#include "server/http/request_record.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace hotaru::server {
namespace {

constexpr std::chrono::system_clock::time_point kWhen{std::chrono::milliseconds(1700000000045)};

RequestRecord record() {
  return {.id = "7f",
          .method = "POST",
          .path = "/api/chat",
          .route = "/api/chat",
          .client = "127.0.0.1",
          .status = 200,
          .body_bytes = 12,
          .duration = std::chrono::microseconds(1250),
          .is_cut = true};
}

TEST(LogLine, AsText) {
  EXPECT_EQ(log_line(record(), LogFormat::kText, kWhen),
            "2023-11-14T22:13:20.045Z 200 POST /api/chat 1.2 ms 12 B 127.0.0.1 7f cut\n");
}

TEST(LogLine, AsOneJsonObject) {
  RequestRecord hostile = record();
  hostile.path = "/\"\xff";
  const std::string line = log_line(hostile, LogFormat::kJson, kWhen);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const Json json = Json::parse(line);
  EXPECT_EQ(json["time"], "2023-11-14T22:13:20.045Z");
  EXPECT_EQ(json["duration_ms"], 1.25);
  EXPECT_EQ(json["status"], 200);
  EXPECT_EQ(json["is_cut"], true);
  EXPECT_EQ(json["request_id"], "7f");
}

}  // namespace
}  // namespace hotaru::server
