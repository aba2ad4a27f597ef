// What a model's text is made of: reasoning, content and calls of tools, told apart while it arrives in pieces. Which
// marks a model uses is read from its chat template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hotaru::server {

struct ToolCall {
  std::string name;
  std::string arguments_json;  // an object
};

// How a model writes calls and reasoning.
struct ReplyDialect {
  enum class Calls {
    kNone,
    kTagged,    // Qwen, Hermes: <tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>
    kBareJson,  // Llama 3: {"name": ..., "parameters": {...}} and nothing else
    kMistral,   // [TOOL_CALLS] [{"name": ..., "arguments": {...}}]
  };
  Calls calls = Calls::kNone;
  std::string think_begin, think_end;  // empty: the model does not reason
  bool begins_thinking = false;        // the template itself opens the reasoning in front of the reply
  static ReplyDialect of_template(std::string_view jinja);
};

class ReplyParts {
 public:
  struct Output {
    std::string thinking;
    std::string content;
    std::vector<ToolCall> calls;
  };
  struct Wanted {
    bool splits_thinking = true;  // false: reasoning is content
    bool finds_calls = false;
  };
  ReplyParts(ReplyDialect dialect, Wanted wanted);
  // Text that may be a part of a mark or of a call waits.
  Output push(std::string_view text);
  // What is left; something that looked like a call and is none becomes content.
  Output finish();

 private:
  // kOpening: in front of content or between calls, where white space may turn out to be nobody's.
  enum class Place { kStart, kThinking, kOpening, kContent, kCall };
  // Each takes what it can from held_; false: it waits for more text.
  bool step(Output& output);
  bool step_start();
  bool step_thinking(Output& output);
  bool step_opening();
  bool step_content(Output& output);
  bool step_call(Output& output);
  bool give_up_call(size_t size, Output& output);
  [[nodiscard]] std::string_view call_mark() const;

  ReplyDialect dialect_;
  Wanted wanted_;
  std::string held_;
  std::string opened_by_;     // what stood in front of the call in held_: the mark; content again if it is none
  bool drops_space_ = false;  // white space in front of content belongs to a mark
  bool follows_call_ = false;
  bool has_ended_ = false;
  Place place_ = Place::kStart;
};

}  // namespace hotaru::server
