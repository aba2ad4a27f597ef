#include "server/openai/chat_writer.h"

#include <utility>

#include "server/openai/server_sent_events.h"
#include "server/openai/token_logprobs.h"
#include "server/request/errors.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kCallPrefix = "call_";
constexpr std::string_view kPath = "/v1/chat/completions";

Json call_json(const GatheredCall& call) {
  Json json;
  json["id"] = call.id;
  json["type"] = "function";
  json["function"]["name"] = call.call.name;
  json["function"]["arguments"] = call.call.arguments_json;
  return json;
}

Json logprobs_json(Json content) {
  Json json;
  json["content"] = std::move(content);
  json["refusal"] = nullptr;
  return json;
}

}  // namespace

Json openai_usage(const ReplyWriter::Start& start, int tokens, int reasoning_tokens) {
  Json usage;
  usage["prompt_tokens"] = start.prompt_tokens;
  usage["completion_tokens"] = tokens;
  usage["total_tokens"] = start.prompt_tokens + tokens;
  usage["prompt_tokens_details"]["cached_tokens"] = start.reused_tokens;
  usage["completion_tokens_details"]["reasoning_tokens"] = reasoning_tokens;
  return usage;
}

Json openai_stream_error(const Error& error) {
  return *parse_json(error_body(kPath, http_status(error.kind), error.message), "error");
}

ChatWriter::ChatWriter(ChatAnswer answer)
    : answer_(std::move(answer)), samples_(static_cast<size_t>(answer_.samples)) {}

Json ChatWriter::head(std::string_view object) const {
  Json json;
  json["id"] = answer_.id;
  json["object"] = object;
  json["created"] = answer_.created;
  json["model"] = answer_.model;
  json["system_fingerprint"] = "fp_hotaru";
  return json;
}

std::string ChatWriter::chunk(int index, Json delta, const Json& logprobs, const Json& finish_reason) const {
  Json json = head("chat.completion.chunk");
  Json choice;
  choice["index"] = index;
  choice["delta"] = std::move(delta);
  choice["logprobs"] = logprobs;
  choice["finish_reason"] = finish_reason;
  json["choices"].push_back(std::move(choice));
  if (answer_.includes_usage) json["usage"] = nullptr;
  return data_event(json);
}

std::string ChatWriter::begin(int index) {
  if (std::exchange(samples_[static_cast<size_t>(index)].has_begun, true)) return {};
  return chunk(index, {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}, nullptr, nullptr);
}

std::string ChatWriter::chunks_of(int index, const ReplyParts::Output& output, size_t first_call,
                                  const Json& logprobs) {
  std::string bytes;
  if (!output.thinking.empty()) bytes += chunk(index, {{"reasoning", output.thinking}}, nullptr, nullptr);
  if (!output.content.empty() || !logprobs.is_null()) {
    bytes += chunk(index, {{"content", output.content}}, logprobs, nullptr);
  }
  const std::vector<GatheredCall>& calls = samples_[static_cast<size_t>(index)].said.calls;
  for (size_t i = first_call; i < calls.size(); i++) {
    Json call;
    call["index"] = i;
    call.update(call_json(calls[i]));
    bytes += chunk(index, {{"tool_calls", Json::array({std::move(call)})}}, nullptr, nullptr);
  }
  return bytes;
}

std::string ChatWriter::on_delta(const Delta& delta) {
  Sample& sample = samples_[static_cast<size_t>(delta.sample)];
  const auto added = sample.said.add(delta, kCallPrefix);
  Json logprobs;
  const LanguageModel* model = start_.language_model;
  if (answer_.has_logprobs && model != nullptr && delta.piece.id >= 0 && !is_end_token(*model, delta.piece.id)) {
    Json entry = chat_logprob(*model, delta.piece);
    if (answer_.streams) {
      logprobs = logprobs_json(Json::array({std::move(entry)}));
    } else {
      sample.logprobs.push_back(std::move(entry));
    }
  }
  if (!answer_.streams) return {};
  return begin(delta.sample) + chunks_of(delta.sample, delta.output, added.first_call, logprobs);
}

std::string ChatWriter::on_end(const End& end) {
  Sample& sample = samples_[static_cast<size_t>(end.sample)];
  const auto added = sample.said.add(end, kCallPrefix);
  if (!answer_.streams) return {};
  if (end.error) return data_event(openai_stream_error(*end.error));
  return begin(end.sample) + chunks_of(end.sample, end.output, added.first_call, nullptr) +
         chunk(end.sample, Json::object(), nullptr, sample.said.finish_reason());
}

Json ChatWriter::usage() const {
  int tokens = 0;
  int reasoning = 0;
  for (const Sample& sample : samples_) {
    tokens += sample.said.tokens;
    reasoning += sample.said.reasoning_tokens;
  }
  return openai_usage(start_, tokens, reasoning);
}

std::string ChatWriter::finish() {
  if (!answer_.streams) return {};
  for (const Sample& sample : samples_) {
    if (sample.said.error) return {};  // the error was the last word
  }
  std::string bytes;
  if (answer_.includes_usage) {
    Json json = head("chat.completion.chunk");
    json["choices"] = Json::array();
    json["usage"] = usage();
    bytes += data_event(json);
  }
  return bytes + "data: [DONE]\n\n";
}

Json ChatWriter::message(const GatheredSample& said) const {
  Json message;
  message["role"] = "assistant";
  message["content"] = said.content.empty() && said.has_calls ? Json(nullptr) : Json(said.content);
  message["refusal"] = nullptr;
  if (!said.thinking.empty()) message["reasoning"] = said.thinking;
  for (const GatheredCall& call : said.calls) message["tool_calls"].push_back(call_json(call));
  return message;
}

HttpResponse ChatWriter::response() {
  Json json = head("chat.completion");
  json["choices"] = Json::array();
  for (size_t i = 0; i < samples_.size(); i++) {
    Sample& sample = samples_[i];
    if (sample.said.error) return error_response(kPath, *sample.said.error);
    Json choice;
    choice["index"] = i;
    choice["message"] = message(sample.said);
    choice["logprobs"] = answer_.has_logprobs ? logprobs_json(std::move(sample.logprobs)) : Json(nullptr);
    choice["finish_reason"] = sample.said.finish_reason();
    json["choices"].push_back(std::move(choice));
  }
  json["usage"] = usage();
  HttpResponse response;
  response.body = json_line(json);
  return response;
}

}  // namespace hotaru::server
