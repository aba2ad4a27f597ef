// The answer of POST /v1/responses: a response object of items, and the events in which they come into being.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/openai/gathered_reply.h"
#include "server/reply/reply_task.h"

namespace hotaru::server {

struct ResponsesAnswer {
  std::string id;
  int64_t created = 0;  // Unix seconds
  std::string model;    // as the request names it
  bool streams = false;
  Json echoed;
};

class ResponsesWriter : public ReplyWriter {
 public:
  explicit ResponsesWriter(ResponsesAnswer answer) : answer_(std::move(answer)) {}
  void on_start(const Start& start) override { start_ = start; }
  std::string on_delta(const Delta& delta) override;
  std::string on_end(const End& end) override;
  std::string finish() override { return {}; }  // response.completed is the last word
  HttpResponse response() override;

 private:
  enum class Open { kNothing, kReasoning, kMessage };
  // Nothing unless the answer is a stream.
  std::string event(std::string_view name, const Json& data);
  std::string begin();
  std::string add(const ReplyParts::Output& output, size_t first_call);
  std::string open(Open item);
  std::string close();
  std::string add_text(Open item, const std::string& text);
  std::string add_call(const GatheredCall& call);
  [[nodiscard]] Json open_item(std::string_view status) const;
  [[nodiscard]] Json open_part() const;
  [[nodiscard]] Json place() const;
  [[nodiscard]] Json response_object(std::string_view status) const;

  ResponsesAnswer answer_;
  Start start_;
  GatheredSample said_;
  Json output_ = Json::array();  // finished items
  Open open_ = Open::kNothing;
  std::string open_id_, open_text_;
  int sequence_ = 0;
  bool has_begun_ = false;
};

}  // namespace hotaru::server
