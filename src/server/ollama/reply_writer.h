// A reply in the words of /api/generate and /api/chat: lines of JSON, or one object.
#pragma once

#include <chrono>
#include <string>

#include "base/json.h"
#include "server/reply/reply_task.h"

namespace hotaru::server {

class OllamaReplyWriter final : public ReplyWriter {
 public:
  enum class Kind { kGenerate, kChat };
  struct Options {
    Kind kind = Kind::kChat;
    std::string model;  // as the request wrote it
    bool streams = true;
    bool wants_context = false;
    bool has_logprobs = false;
    std::chrono::steady_clock::time_point received;
  };
  explicit OllamaReplyWriter(Options options) : options_(std::move(options)) {}

  void on_start(const Start& start) override { start_ = start; }
  std::string on_delta(const Delta& delta) override;
  std::string on_end(const End& end) override;
  std::string finish() override { return {}; }
  HttpResponse response() override;

  // The answer to a request that only loads or unloads: "load", "unload".
  static HttpResponse loaded(Kind kind, const std::string& model, std::string_view done_reason);

 private:
  [[nodiscard]] Json line(const ReplyParts::Output& output);
  [[nodiscard]] Json last_line(const End& end, const ReplyParts::Output& output);
  [[nodiscard]] Json logprobs_of(const ReplyPiece& piece) const;

  const Options options_;
  Start start_;
  int calls_ = 0;  // so far
  // Of an answer in one piece.
  ReplyParts::Output whole_;
  Json logprobs_ = Json::array();
  Json last_;
};

}  // namespace hotaru::server
