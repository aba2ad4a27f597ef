#include "server/reply/reply_parts.h"

#include <algorithm>
#include <utility>

#include "server/reply/call_json.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kCallBegin = "<tool_call>";
constexpr std::string_view kCallEnd = "</tool_call>";
constexpr std::string_view kMistralCalls = "[TOOL_CALLS]";
constexpr std::string_view kPythonTag = "<|python_tag|>";  // Llama 3 may write it in front of a call

size_t space_at_begin(std::string_view text) { return std::min(text.find_first_not_of(kSpace), text.size()); }

size_t size_without_space_at_end(std::string_view text) { return text.find_last_not_of(kSpace) + 1; }

// Could become `mark`, and is not yet.
bool is_part_of(std::string_view text, std::string_view mark) {
  return text.size() < mark.size() && mark.starts_with(text);
}

// Of a text without `mark`: how much of it is certainly none of the mark's.
size_t size_before(std::string_view text, std::string_view mark) {
  size_t begin = text.size() - std::min(text.size(), mark.size() - 1);
  while (begin < text.size() && !mark.starts_with(text.substr(begin))) begin++;
  return begin;
}

}  // namespace

ReplyDialect ReplyDialect::of_template(std::string_view jinja) {
  std::string text(jinja);
  text.erase(std::remove(text.begin(), text.end(), '\\'), text.end());  // of quotes in a string of the template
  const auto has = [&](std::string_view what) { return text.find(what) != std::string::npos; };
  ReplyDialect dialect;
  if (has(kMistralCalls) && !has("[ARGS]")) {
    dialect.calls = Calls::kMistral;
  } else if (has(kCallBegin) && !has("<function=")) {
    dialect.calls = Calls::kTagged;
  } else if (has("tools") && has("\"name\": ") && has("\"parameters\": ")) {
    dialect.calls = Calls::kBareJson;
  }
  if (!has("<think>") && !has("</think>")) return dialect;
  dialect.think_begin = "<think>";
  dialect.think_end = "</think>";
  // Of what stands in front of a reply; with the end as well it is reasoning switched off (Qwen3).
  const size_t prompt = text.rfind("add_generation_prompt");
  if (prompt == std::string::npos) return dialect;
  const std::string_view last = std::string_view(text).substr(prompt);
  dialect.begins_thinking = last.find(dialect.think_begin) != std::string_view::npos &&
                            last.find(dialect.think_end) == std::string_view::npos;
  return dialect;
}

ReplyParts::ReplyParts(ReplyDialect dialect, Wanted wanted) : dialect_(std::move(dialect)), wanted_(wanted) {
  if (!wanted_.splits_thinking || dialect_.think_begin.empty()) {
    place_ = Place::kOpening;
  }
}

ReplyParts::Output ReplyParts::push(std::string_view text) {
  held_ += text;
  Output output;
  while (step(output)) {
  }
  return output;
}

ReplyParts::Output ReplyParts::finish() {
  has_ended_ = true;
  Output output = push("");
  if (place_ == Place::kThinking) {
    output.thinking += held_.substr(0, size_without_space_at_end(held_));
  } else if (!drops_space_ || place_ == Place::kCall || space_at_begin(held_) < held_.size()) {
    output.content += opened_by_ + held_;
  }
  held_.clear();
  opened_by_.clear();
  return output;
}

bool ReplyParts::step(Output& output) {
  switch (place_) {
    case Place::kStart:
      return step_start();
    case Place::kThinking:
      return step_thinking(output);
    case Place::kOpening:
      return step_opening();
    case Place::kContent:
      return step_content(output);
    case Place::kCall:
      return step_call(output);
  }
  return false;
}

bool ReplyParts::step_start() {
  const size_t space = space_at_begin(held_);
  const std::string_view text = std::string_view(held_).substr(space);
  if (is_part_of(text, dialect_.think_begin) && !has_ended_) return false;
  // A model may write the mark that the template wrote already.
  const bool is_marked = text.starts_with(dialect_.think_begin);
  if (is_marked) held_.erase(0, space + dialect_.think_begin.size());
  if (is_marked || dialect_.begins_thinking) {
    drops_space_ = true;
    place_ = Place::kThinking;
  } else {
    place_ = Place::kOpening;
  }
  return true;
}

bool ReplyParts::step_thinking(Output& output) {
  if (drops_space_) held_.erase(0, space_at_begin(held_));
  const size_t end = held_.find(dialect_.think_end);
  const std::string_view thought =
      std::string_view(held_).substr(0, std::min(end, size_before(held_, dialect_.think_end)));
  const size_t size = size_without_space_at_end(thought);  // white space in front of the mark is the mark's
  if (size > 0) drops_space_ = false;
  output.thinking += thought.substr(0, size);
  held_.erase(0, end == std::string::npos ? size : end + dialect_.think_end.size());
  if (end == std::string::npos) return false;
  drops_space_ = true;
  place_ = Place::kOpening;
  return true;
}

std::string_view ReplyParts::call_mark() const {
  if (!wanted_.finds_calls) return "";
  if (dialect_.calls == ReplyDialect::Calls::kTagged) return kCallBegin;
  return dialect_.calls == ReplyDialect::Calls::kMistral ? kMistralCalls : "";
}

// The first character that is no space decides whether a call without a mark begins: Llama's always, Mistral's where
// the detokeniser leaves out special tokens.
bool ReplyParts::step_opening() {
  const size_t space = space_at_begin(held_);
  std::string_view text = std::string_view(held_).substr(space);
  if (text.empty()) return false;
  const auto begin = [&](Place place, size_t mark) {
    if (place == Place::kCall) {
      opened_by_ = held_.substr(drops_space_ ? space : 0, drops_space_ ? mark : space + mark);
      held_.erase(0, space + mark);
    } else if (drops_space_) {
      held_.erase(0, space);
    }
    place_ = place;
    return true;
  };
  if (!wanted_.finds_calls) return begin(Place::kContent, 0);
  if (dialect_.calls == ReplyDialect::Calls::kBareJson) {
    if (text.starts_with(';') && follows_call_) {  // "; " between calls
      held_.erase(0, space + 1);
      return true;
    }
    if (is_part_of(text, kPythonTag) && !has_ended_) return false;
    if (text.starts_with(kPythonTag)) return begin(Place::kCall, kPythonTag.size());
    if (text.starts_with('{')) return begin(Place::kCall, 0);
  }
  if (dialect_.calls == ReplyDialect::Calls::kMistral && text.starts_with('[')) {
    const std::string_view inner = text.substr(1);
    const size_t first = space_at_begin(inner);
    const bool is_open = first == inner.size() || is_part_of(text, kMistralCalls);
    if (is_open && !has_ended_) return false;
    if (!is_open && inner[first] == '{') return begin(Place::kCall, 0);
  }
  return begin(Place::kContent, 0);
}

bool ReplyParts::step_content(Output& output) {
  drops_space_ = follows_call_ = false;
  const std::string_view mark = call_mark();
  if (mark.empty()) {
    output.content += std::exchange(held_, {});
    return false;
  }
  const size_t found = held_.find(mark);
  const std::string_view text = std::string_view(held_).substr(0, std::min(found, size_before(held_, mark)));
  const size_t size = size_without_space_at_end(text);
  output.content += text.substr(0, size);
  const size_t taken = found == std::string::npos ? size : found + mark.size();
  if (found != std::string::npos) opened_by_ = held_.substr(size, taken - size);
  held_.erase(0, taken);
  if (found == std::string::npos) return false;
  place_ = Place::kCall;
  return true;
}

// What was taken for a call is content.
bool ReplyParts::give_up_call(size_t size, Output& output) {
  output.content += std::exchange(opened_by_, {}) + held_.substr(0, size);
  held_.erase(0, size);
  drops_space_ = false;
  place_ = Place::kContent;
  return true;
}

bool ReplyParts::step_call(Output& output) {
  const bool is_tagged = dialect_.calls == ReplyDialect::Calls::kTagged;
  const size_t space = space_at_begin(held_);
  const std::string_view text = std::string_view(held_).substr(space);
  if (text.empty()) return false;
  const bool is_list = dialect_.calls == ReplyDialect::Calls::kMistral && text.starts_with('[');
  if (!is_list && !may_begin_call(text)) return give_up_call(0, output);
  const std::optional<size_t> end = json_end(text);
  if (!end) return false;
  std::string_view rest = text.substr(*end);
  rest.remove_prefix(space_at_begin(rest));
  if (is_tagged && is_part_of(rest, kCallEnd) && !has_ended_) return false;
  std::optional<std::vector<ToolCall>> calls = read_calls(text.substr(0, *end));
  if (!calls) return give_up_call(space + *end, output);
  std::move(calls->begin(), calls->end(), std::back_inserter(output.calls));
  if (is_tagged && rest.starts_with(kCallEnd)) rest.remove_prefix(kCallEnd.size());
  held_ = std::string(rest);
  opened_by_.clear();
  follows_call_ = true;
  drops_space_ = true;
  place_ = Place::kOpening;
  return true;
}

}  // namespace hotaru::server
