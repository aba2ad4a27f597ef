#include "server/request/errors.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace hotaru::server {
namespace {

TEST(HttpStatus, NoErrorIsASuccess) {
  EXPECT_EQ(http_status(ErrorKind::kInvalid), 400);
  EXPECT_EQ(http_status(ErrorKind::kNotSupported), 400);
  EXPECT_EQ(http_status(ErrorKind::kNotFound), 404);
  EXPECT_EQ(http_status(ErrorKind::kBusy), 503);
  EXPECT_EQ(http_status(ErrorKind::kNoMemory), 503);
  EXPECT_EQ(http_status(ErrorKind::kTimeout), 504);
  EXPECT_EQ(http_status(ErrorKind::kIo), 500);
  EXPECT_EQ(http_status(ErrorKind::kAborted), 500);
}

TEST(ErrorBody, HasTheShapeOfThePathsApi) {
  EXPECT_EQ(error_body("/api/chat", 404, "model 'x' not found"), R"({"error":"model 'x' not found"})");
  EXPECT_EQ(error_body("/v1x", 404, "no"), R"({"error":"no"})");
  EXPECT_EQ(error_body("/hotaru/v1/contexts", 404, "no"), R"({"error":"no"})");
  EXPECT_EQ(error_body("/v1/completions", 400, "no", "stop"),
            R"({"error":{"message":"no","type":"invalid_request_error","param":"stop","code":null}})");
  EXPECT_EQ(error_body("/v1/completions", 500, "no"),
            R"({"error":{"message":"no","type":"server_error","param":null,"code":null}})");
  EXPECT_EQ(error_body("/v1/messages", 404, "no"),
            R"({"type":"error","error":{"type":"not_found_error","message":"no"}})");
  EXPECT_EQ(error_body("/v1/messages/count_tokens", 503, "no"),
            R"({"type":"error","error":{"type":"overloaded_error","message":"no"}})");
}

TEST(ErrorBody, SaysWhichOfOpenAisCodesFit) {
  EXPECT_EQ(Json::parse(error_body("/v1/models/x", 404, "no", "model"))["error"]["code"], "model_not_found");
  EXPECT_EQ(Json::parse(error_body("/v1/models", 401, "no"))["error"]["code"], "invalid_api_key");
}

TEST(ErrorBody, IsJsonWhateverTheMessageHolds) {
  EXPECT_EQ(Json::parse(error_body("/api/chat", 400, "a\"\n\xff"))["error"], "a\"\n\xEF\xBF\xBD");
}

TEST(ErrorResponse, TellsWhenToTryAgain) {
  const HttpResponse busy = error_response("/api/chat", Error{ErrorKind::kBusy, "the queue is full"});
  EXPECT_EQ(busy.status, 503);
  ASSERT_EQ(busy.headers.size(), 1U);
  EXPECT_EQ(busy.headers[0].first, "Retry-After");
  EXPECT_EQ(busy.content_type, "application/json; charset=utf-8");
  EXPECT_TRUE(error_response("/api/chat", 400, "no").headers.empty());
}

}  // namespace
}  // namespace hotaru::server
