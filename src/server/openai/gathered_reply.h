// What the samples of a reply have said so far, for writers that give it back as a whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/reply/reply_task.h"

namespace hotaru::server {

struct GatheredCall {
  std::string id;
  ToolCall call;
};

struct GatheredSample {
  std::string thinking;
  std::string content;
  std::vector<GatheredCall> calls;
  int tokens = 0;
  int reasoning_tokens = 0;  // in front of the content or the calls, marks included
  bool has_calls = false;
  ReplyStatus status = ReplyStatus::kLogicalEnd;
  std::string stop_string;
  std::optional<Error> error;

  // The calls that `output` adds have got ids with this prefix: calls[first...].
  struct Added {
    size_t first_call = 0;
  };
  Added add(const ReplyWriter::Delta& delta, std::string_view call_prefix);
  Added add(const ReplyWriter::End& end, std::string_view call_prefix);
  // As OpenAI names it: stop, length, tool_calls.
  [[nodiscard]] std::string_view finish_reason() const;

 private:
  Added add(const ReplyParts::Output& output, std::string_view call_prefix);
};

}  // namespace hotaru::server
