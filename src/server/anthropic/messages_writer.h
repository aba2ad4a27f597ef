// The answer of POST /v1/messages: a message of blocks, and the events in which they come into being.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "server/openai/gathered_reply.h"
#include "server/reply/reply_task.h"

namespace hotaru::server {

struct MessagesAnswer {
  std::string id;
  std::string model;  // as the request names it
  bool streams = false;
};

class MessagesWriter : public ReplyWriter {
 public:
  explicit MessagesWriter(MessagesAnswer answer) : answer_(std::move(answer)) {}
  void on_start(const Start& start) override { start_ = start; }
  std::string on_delta(const Delta& delta) override;
  std::string on_end(const End& end) override;
  std::string finish() override { return {}; }  // message_stop is the last word
  HttpResponse response() override;

 private:
  enum class Open { kNothing, kThinking, kText };
  // Nothing unless the answer is a stream.
  std::string event(std::string_view name, const Json& data) const;
  std::string begin();
  std::string add(const ReplyParts::Output& output, size_t first_call);
  std::string add_text(Open block, const std::string& text);
  std::string add_call(const GatheredCall& call);
  std::string open(Open block);
  std::string close();
  [[nodiscard]] Json block() const;  // the open one
  [[nodiscard]] Json message() const;
  [[nodiscard]] Json usage() const;
  [[nodiscard]] std::string_view stop_reason() const;

  MessagesAnswer answer_;
  Start start_;
  GatheredSample said_;
  Json content_ = Json::array();  // finished blocks
  Open open_ = Open::kNothing;
  std::string open_text_;
  bool has_begun_ = false;
  bool has_ended_ = false;
};

}  // namespace hotaru::server
