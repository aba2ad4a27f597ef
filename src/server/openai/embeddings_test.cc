#include "server/openai/embeddings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hotaru::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

EmbeddingsRequest parse(std::string_view more) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", {}}})", more));
  Fields fields(json, "");
  EmbeddingsRequest request = parse_embeddings_request(fields);
  EXPECT_TRUE(fields.ok()) << fields.error().message;
  return request;
}
std::string refused_field(std::string_view more) {
  const Json json = Json::parse(fmt::format(R"({{"model": "demo", {}}})", more));
  Fields fields(json, "");
  parse_embeddings_request(fields);
  return fields.ok() ? "(accepted)" : fields.bad_field();
}
std::vector<ReadText> two_texts() { return {{{1, 2, 3}, {{}, {0.6F, 0.8F, 0.0F}}}, {{4}, {{}, {0.0F, 0.0F, 1.0F}}}}; }

TEST(EmbeddingsRequest, IsATask) {
  const EmbeddingsRequest request = parse(R"("input": ["a", "b"], "encoding_format": "base64", "dimensions": 2)");
  EXPECT_EQ(request.task.texts.size(), 2U);
  EXPECT_TRUE(request.task.wants_embedding && request.as_base64);
  EXPECT_EQ(request.dimensions, 2);
  EXPECT_EQ(parse(R"("input": [[1, 2], [3]], "user": "me")").task.texts.size(), 2U);
}

TEST(EmbeddingsRequest, WhatIsWrongIsNamed) {
  EXPECT_EQ(refused_field(R"("dimensions": 2)"), "input");
  EXPECT_EQ(refused_field(R"("input": "")"), "input");
  EXPECT_EQ(refused_field(R"("input": ["a", 3])"), "input[1]");
  EXPECT_EQ(refused_field(R"("input": "x", "encoding_format": "hex")"), "encoding_format");
  EXPECT_EQ(refused_field(R"("input": "x", "dimensions": 0)"), "dimensions");
  for (const std::string_view field : {"encoding_format", "dimensions", "lora"}) {
    EXPECT_THAT(refused_field(fmt::format(R"("input": "x", "{}": [[1]])", field)), StartsWith(field));
  }
}

TEST(EmbeddingsBody, Floats) {
  EXPECT_EQ(*embeddings_body(parse(R"("input": ["a", "b"], "dimensions": 1)"), two_texts()),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0]},)"
            R"({"object":"embedding","index":1,"embedding":[0.0]}],"model":"demo",)"
            R"("usage":{"prompt_tokens":4,"total_tokens":4}})");
  EXPECT_THAT(embeddings_body(parse(R"("input": "a", "dimensions": 4)"), two_texts()).error().message,
              HasSubstr("'dimensions': got 4, want at most the model's 3"));
}

TEST(EmbeddingsBody, Base64) {
  // struct.pack("<2f", 1, -2), encoded by Python.
  EXPECT_EQ(base64_floats({1.0F, -2.0F}), "AACAPwAAAMA=");
  EXPECT_EQ(base64_floats({1.0F}), "AACAPw==");
  EXPECT_EQ(base64_floats({0.5F, 0.25F, 3.0F}), "AAAAPwAAgD4AAEBA");
  const Json body = Json::parse(*embeddings_body(parse(R"("input": "a", "encoding_format": "base64")"), two_texts()));
  EXPECT_EQ(body["data"][1]["embedding"], "AAAAAAAAAAAAAIA/");
}

}  // namespace
}  // namespace hotaru::server
