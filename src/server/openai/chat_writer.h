// The answer of POST /v1/chat/completions: chunks of a stream, or one object.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/openai/gathered_reply.h"
#include "server/reply/reply_task.h"

namespace hotaru::server {

struct ChatAnswer {
  std::string id;
  int64_t created = 0;  // Unix seconds
  std::string model;    // as the request names it
  int samples = 1;
  bool streams = false;
  bool includes_usage = false;
  bool has_logprobs = false;
};

// {"prompt_tokens", "completion_tokens", "total_tokens", ...}
Json openai_usage(const ReplyWriter::Start& start, int tokens, int reasoning_tokens);
// What a stream says when a reply fails in its middle.
Json openai_stream_error(const Error& error);

class ChatWriter : public ReplyWriter {
 public:
  explicit ChatWriter(ChatAnswer answer);
  void on_start(const Start& start) override { start_ = start; }
  std::string on_delta(const Delta& delta) override;
  std::string on_end(const End& end) override;
  std::string finish() override;
  HttpResponse response() override;

 private:
  struct Sample {
    GatheredSample said;
    bool has_begun = false;
    Json logprobs = Json::array();
  };
  [[nodiscard]] Json head(std::string_view object) const;
  [[nodiscard]] std::string chunk(int index, Json delta, const Json& logprobs, const Json& finish_reason) const;
  std::string begin(int index);
  std::string chunks_of(int index, const ReplyParts::Output& output, size_t first_call, const Json& logprobs);
  [[nodiscard]] Json message(const GatheredSample& said) const;
  [[nodiscard]] Json usage() const;

  ChatAnswer answer_;
  Start start_;
  std::vector<Sample> samples_;
};

}  // namespace hotaru::server
