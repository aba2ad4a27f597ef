#include "server/anthropic/messages_writer.h"

#include "server/openai/server_sent_events.h"
#include "server/request/errors.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kCallPrefix = "toolu_";
constexpr std::string_view kPath = "/v1/messages";

// The arguments as an object; a model may have written something else.
Json input_of(const ToolCall& call) {
  auto input = parse_json(call.arguments_json, "arguments");
  return input && input->is_object() ? *std::move(input) : Json::object();
}

Json call_block(const GatheredCall& call, Json input) {
  Json block;
  block["type"] = "tool_use";
  block["id"] = call.id;
  block["name"] = call.call.name;
  block["input"] = std::move(input);
  return block;
}

}  // namespace

std::string MessagesWriter::event(std::string_view name, const Json& data) const {
  if (!answer_.streams) return {};
  Json json;
  json["type"] = name;
  json.update(data);
  return named_event(name, json);
}

std::string_view MessagesWriter::stop_reason() const {
  if (said_.has_calls) return "tool_use";
  if (said_.status == ReplyStatus::kMaxTokens) return "max_tokens";
  if (said_.status == ReplyStatus::kContextFull) return "model_context_window_exceeded";
  return said_.stop_string.empty() ? "end_turn" : "stop_sequence";
}

Json MessagesWriter::usage() const {
  Json usage;
  usage["input_tokens"] = start_.prompt_tokens - start_.reused_tokens;
  usage["cache_creation_input_tokens"] = 0;
  usage["cache_read_input_tokens"] = start_.reused_tokens;
  usage["output_tokens"] = said_.tokens;
  return usage;
}

Json MessagesWriter::message() const {
  Json json;
  json["id"] = answer_.id;
  json["type"] = "message";
  json["role"] = "assistant";
  json["model"] = answer_.model;
  json["content"] = content_;
  json["stop_reason"] = has_ended_ ? Json(stop_reason()) : Json(nullptr);
  const bool is_stopped = has_ended_ && stop_reason() == "stop_sequence";
  json["stop_sequence"] = is_stopped ? Json(said_.stop_string) : Json(nullptr);
  json["usage"] = usage();
  return json;
}

std::string MessagesWriter::begin() {
  if (std::exchange(has_begun_, true)) return {};
  return event("message_start", {{"message", message()}});
}

Json MessagesWriter::block() const {
  if (open_ == Open::kText) return {{"type", "text"}, {"text", open_text_}};
  return {{"type", "thinking"}, {"thinking", open_text_}, {"signature", ""}};
}

std::string MessagesWriter::open(Open block_kind) {
  if (open_ == block_kind) return {};
  std::string bytes = close();
  open_ = block_kind;
  return bytes + event("content_block_start", {{"index", content_.size()}, {"content_block", block()}});
}

std::string MessagesWriter::close() {
  if (open_ == Open::kNothing) return {};
  std::string bytes = event("content_block_stop", {{"index", content_.size()}});
  content_.push_back(block());
  open_ = Open::kNothing;
  open_text_.clear();
  return bytes;
}

std::string MessagesWriter::add_text(Open block_kind, const std::string& text) {
  if (text.empty()) return {};
  std::string bytes = open(block_kind);
  open_text_ += text;
  const Json delta = block_kind == Open::kText ? Json{{"type", "text_delta"}, {"text", text}}
                                               : Json{{"type", "thinking_delta"}, {"thinking", text}};
  return bytes + event("content_block_delta", {{"index", content_.size()}, {"delta", delta}});
}

std::string MessagesWriter::add_call(const GatheredCall& call) {
  std::string bytes = close();
  const size_t index = content_.size();
  const Json input = input_of(call.call);
  bytes += event("content_block_start", {{"index", index}, {"content_block", call_block(call, Json::object())}});
  const Json delta{{"type", "input_json_delta"}, {"partial_json", json_line(input)}};
  bytes += event("content_block_delta", {{"index", index}, {"delta", delta}});
  bytes += event("content_block_stop", {{"index", index}});
  content_.push_back(call_block(call, input));
  return bytes;
}

std::string MessagesWriter::add(const ReplyParts::Output& output, size_t first_call) {
  std::string bytes = add_text(Open::kThinking, output.thinking);
  bytes += add_text(Open::kText, output.content);
  for (size_t i = first_call; i < said_.calls.size(); i++) bytes += add_call(said_.calls[i]);
  return bytes;
}

std::string MessagesWriter::on_delta(const Delta& delta) {
  std::string bytes = begin();
  const auto added = said_.add(delta, kCallPrefix);
  return bytes + add(delta.output, added.first_call);
}

std::string MessagesWriter::on_end(const End& end) {
  std::string bytes = begin();
  const auto added = said_.add(end, kCallPrefix);
  bytes += add(end.output, added.first_call);
  bytes += close();
  has_ended_ = true;
  if (said_.error) {
    if (!answer_.streams) return {};
    return bytes +
           named_event("error",
                       *parse_json(error_body(kPath, http_status(said_.error->kind), said_.error->message), "error"));
  }
  const Json whole = message();
  const Json delta{{"stop_reason", whole["stop_reason"]}, {"stop_sequence", whole["stop_sequence"]}};
  return bytes + event("message_delta", {{"delta", delta}, {"usage", whole["usage"]}}) +
         event("message_stop", Json::object());
}

HttpResponse MessagesWriter::response() {
  if (said_.error) return error_response(kPath, *said_.error);
  HttpResponse response;
  response.body = json_line(message());
  return response;
}

}  // namespace hotaru::server
