#include "server/openai/responses_writer.h"

#include <utility>

#include "server/openai/server_sent_events.h"
#include "server/reply/answer_id.h"
#include "server/request/errors.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kCallPrefix = "call_";
constexpr std::string_view kPath = "/v1/responses";

Json call_item(const std::string& id, const GatheredCall& call, std::string_view status) {
  Json item;
  item["id"] = id;
  item["type"] = "function_call";
  item["status"] = status;
  item["call_id"] = call.id;
  item["name"] = call.call.name;
  item["arguments"] = status == "completed" ? call.call.arguments_json : "";
  return item;
}

Json usage_of(const ReplyWriter::Start& start, const GatheredSample& said) {
  Json usage;
  usage["input_tokens"] = start.prompt_tokens;
  usage["input_tokens_details"]["cached_tokens"] = start.reused_tokens;
  usage["input_tokens_details"]["cache_write_tokens"] = 0;
  usage["output_tokens"] = said.tokens;
  usage["output_tokens_details"]["reasoning_tokens"] = said.reasoning_tokens;
  usage["total_tokens"] = start.prompt_tokens + said.tokens;
  return usage;
}

}  // namespace

std::string ResponsesWriter::event(std::string_view name, const Json& data) {
  if (!answer_.streams) return {};
  Json json;
  json["type"] = name;
  json["sequence_number"] = sequence_++;
  json.update(data);
  return named_event(name, json);
}

Json ResponsesWriter::response_object(std::string_view status) const {
  Json json;
  json["id"] = answer_.id;
  json["object"] = "response";
  json["created_at"] = answer_.created;
  json["completed_at"] = status == "completed" ? Json(unix_seconds()) : Json(nullptr);
  json["status"] = status;
  json["model"] = answer_.model;
  json["output"] = output_;
  json["error"] = nullptr;
  json["incomplete_details"] = nullptr;
  if (said_.error) json["error"] = {{"code", "server_error"}, {"message", said_.error->message}};
  if (status == "incomplete") json["incomplete_details"]["reason"] = "max_output_tokens";
  json.update(answer_.echoed);
  json["previous_response_id"] = nullptr;
  json["background"] = false;
  json["store"] = false;
  json["service_tier"] = "default";
  json["usage"] = status == "in_progress" ? Json(nullptr) : usage_of(start_, said_);
  return json;
}

std::string ResponsesWriter::begin() {
  if (std::exchange(has_begun_, true)) return {};
  std::string bytes = event("response.created", {{"response", response_object("in_progress")}});
  bytes += event("response.in_progress", {{"response", response_object("in_progress")}});
  return bytes;
}

// The text of the open item, as a part of it.
Json ResponsesWriter::open_part() const {
  if (open_ == Open::kReasoning) return {{"type", "summary_text"}, {"text", open_text_}};
  return {{"type", "output_text"}, {"text", open_text_}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
}

Json ResponsesWriter::open_item(std::string_view status) const {
  Json parts = Json::array();
  if (status != "in_progress") parts.push_back(open_part());
  Json item;
  item["id"] = open_id_;
  item["type"] = open_ == Open::kReasoning ? "reasoning" : "message";
  item["status"] = status;
  if (open_ == Open::kMessage) item["role"] = "assistant";
  item[open_ == Open::kReasoning ? "summary" : "content"] = std::move(parts);
  return item;
}

Json ResponsesWriter::place() const {
  Json json;
  json["item_id"] = open_id_;
  json["output_index"] = output_.size();
  json[open_ == Open::kReasoning ? "summary_index" : "content_index"] = 0;
  return json;
}

std::string ResponsesWriter::open(Open item) {
  if (open_ == item) return {};
  std::string bytes = close();
  open_ = item;
  open_id_ = new_id(item == Open::kReasoning ? "rs_" : "msg_");
  bytes += event("response.output_item.added", {{"output_index", output_.size()}, {"item", open_item("in_progress")}});
  Json part = place();
  part["part"] = open_part();
  bytes +=
      event(item == Open::kReasoning ? "response.reasoning_summary_part.added" : "response.content_part.added", part);
  return bytes;
}

std::string ResponsesWriter::add_text(Open item, const std::string& text) {
  if (text.empty()) return {};
  std::string bytes = open(item);
  open_text_ += text;
  Json data = place();
  data["delta"] = text;
  if (item == Open::kReasoning) return bytes + event("response.reasoning_summary_text.delta", data);
  data["logprobs"] = Json::array();
  return bytes + event("response.output_text.delta", data);
}

std::string ResponsesWriter::close() {
  if (open_ == Open::kNothing) return {};
  const bool is_reasoning = open_ == Open::kReasoning;
  Json text = place();
  text["text"] = open_text_;
  if (!is_reasoning) text["logprobs"] = Json::array();
  std::string bytes = event(is_reasoning ? "response.reasoning_summary_text.done" : "response.output_text.done", text);
  Json part = place();
  part["part"] = open_part();
  bytes += event(is_reasoning ? "response.reasoning_summary_part.done" : "response.content_part.done", part);
  const bool is_cut = said_.finish_reason() == "length";
  Json item = open_item(is_cut ? "incomplete" : "completed");
  bytes += event("response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
  output_.push_back(std::move(item));
  open_ = Open::kNothing;
  open_text_.clear();
  return bytes;
}

std::string ResponsesWriter::add_call(const GatheredCall& call) {
  std::string bytes = close();
  const std::string id = new_id("fc_");
  const size_t index = output_.size();
  Json item = call_item(id, call, "completed");
  bytes += event("response.output_item.added", {{"output_index", index}, {"item", call_item(id, call, "in_progress")}});
  bytes += event("response.function_call_arguments.delta",
                 {{"item_id", id}, {"output_index", index}, {"delta", call.call.arguments_json}});
  bytes += event(
      "response.function_call_arguments.done",
      {{"item_id", id}, {"output_index", index}, {"name", call.call.name}, {"arguments", call.call.arguments_json}});
  bytes += event("response.output_item.done", {{"output_index", index}, {"item", item}});
  output_.push_back(std::move(item));
  return bytes;
}

std::string ResponsesWriter::add(const ReplyParts::Output& output, size_t first_call) {
  std::string bytes = add_text(Open::kReasoning, output.thinking);
  bytes += add_text(Open::kMessage, output.content);
  for (size_t i = first_call; i < said_.calls.size(); i++) bytes += add_call(said_.calls[i]);
  return bytes;
}

std::string ResponsesWriter::on_delta(const Delta& delta) {
  const auto added = said_.add(delta, kCallPrefix);
  std::string bytes = begin();
  return bytes + add(delta.output, added.first_call);
}

std::string ResponsesWriter::on_end(const End& end) {
  const auto added = said_.add(end, kCallPrefix);
  std::string bytes = begin();
  bytes += add(end.output, added.first_call);
  bytes += close();
  if (said_.error) return bytes + event("response.failed", {{"response", response_object("failed")}});
  const std::string_view status = said_.finish_reason() == "length" ? "incomplete" : "completed";
  return bytes + event(fmt::format("response.{}", status), {{"response", response_object(status)}});
}

HttpResponse ResponsesWriter::response() {
  if (said_.error) return error_response(kPath, *said_.error);
  HttpResponse response;
  response.body = json_line(response_object(said_.finish_reason() == "length" ? "incomplete" : "completed"));
  return response;
}

}  // namespace hotaru::server
