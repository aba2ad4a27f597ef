#include "server/ollama/reply_writer.h"

#include <algorithm>
#include <random>
#include <utility>

#include "server/ollama/timestamp.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

using Kind = OllamaReplyWriter::Kind;

// Of a token that cannot occur: JSON has no infinity.
constexpr float kLeastLogprob = -9999.0F;

bool is_empty(const ReplyParts::Output& output) {
  return output.thinking.empty() && output.content.empty() && output.calls.empty();
}

void append(ReplyParts::Output& whole, const ReplyParts::Output& part) {
  whole.thinking += part.thinking;
  whole.content += part.content;
  whole.calls.insert(whole.calls.end(), part.calls.begin(), part.calls.end());
}

std::string call_id() {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::string id = "call_";
  for (int i = 0; i < 8; i++) id += kLetters[random() % kLetters.size()];
  return id;
}

// `first`: calls of this reply before these.
Json calls_json(const std::vector<ToolCall>& calls, int first) {
  Json list = Json::array();
  for (const ToolCall& call : calls) {
    Json function;
    function["index"] = first++;
    function["name"] = call.name;
    function["arguments"] = Json::parse(call.arguments_json, nullptr, false);
    list.push_back({{"id", call_id()}, {"function", std::move(function)}});
  }
  return list;
}

Json head(Kind kind, const std::string& model, const ReplyParts::Output& output, int first_call) {
  Json json;
  json["model"] = model;
  json["created_at"] = rfc3339(std::chrono::system_clock::now());
  Json* place = &json;
  if (kind == Kind::kChat) {
    place = &json["message"];
    (*place)["role"] = "assistant";
    (*place)["content"] = output.content;
  } else {
    json["response"] = output.content;
  }
  if (!output.thinking.empty()) (*place)["thinking"] = output.thinking;
  if (!output.calls.empty()) (*place)["tool_calls"] = calls_json(output.calls, first_call);
  json["done"] = false;
  return json;
}

// At least 1: clients divide by it.
int64_t nanoseconds(double seconds) { return std::max<int64_t>(static_cast<int64_t>(seconds * 1e9), 1); }

}  // namespace

Json OllamaReplyWriter::line(const ReplyParts::Output& output) {
  Json json = head(options_.kind, options_.model, output, calls_);
  calls_ += static_cast<int>(output.calls.size());
  return json;
}

Json OllamaReplyWriter::logprobs_of(const ReplyPiece& piece) const {
  const LanguageModel& model = *start_.language_model;
  const std::vector<int32_t>& ends = model.defaults().eos_ids;
  // An end of turn is no part of the text.
  if (piece.id < 0 || std::find(ends.begin(), ends.end(), piece.id) != ends.end()) return {};
  const auto token = [&](int32_t id, float logprob) {
    std::string bytes;
    if (model.tokenizer() != nullptr) {
      if (Result<std::string> known = model.tokenizer()->token_bytes(id)) bytes = *std::move(known);
    }
    Json json;
    json["token"] = bytes;
    json["logprob"] = std::max(logprob, kLeastLogprob);
    json["bytes"] = Json::array();
    for (const char byte : bytes) json["bytes"].push_back(static_cast<unsigned char>(byte));
    return json;
  };
  Json json = token(piece.id, piece.logprob);
  for (const TokenLogprob& other : piece.top) json["top_logprobs"].push_back(token(other.id, other.logprob));
  return json;
}

std::string OllamaReplyWriter::on_delta(const Delta& delta) {
  const Json logprobs = options_.has_logprobs ? logprobs_of(delta.piece) : Json();
  if (!options_.streams) {
    append(whole_, delta.output);
    if (!logprobs.is_null()) logprobs_.push_back(logprobs);
    return {};
  }
  if (is_empty(delta.output) && logprobs.is_null()) return {};
  Json json = line(delta.output);
  if (!logprobs.is_null()) json["logprobs"].push_back(logprobs);
  return json_line(json) + "\n";
}

Json OllamaReplyWriter::last_line(const End& end, const ReplyParts::Output& output) {
  using Clock = std::chrono::steady_clock;
  const Reply& reply = end.reply;
  Json json = line(output);
  json["done"] = true;
  json["done_reason"] = reply.status == ReplyStatus::kLogicalEnd ? "stop" : "length";
  if (options_.wants_context) {
    std::vector<int32_t> ids = start_.prompt_ids;
    ids.insert(ids.end(), reply.token_ids.begin(), reply.token_ids.end());
    json["context"] = ids;
  }
  json["total_duration"] = std::chrono::nanoseconds(Clock::now() - options_.received).count();
  json["load_duration"] = start_.load_time.count();
  json["prompt_eval_count"] = start_.prompt_tokens;
  json["prompt_eval_duration"] = nanoseconds(reply.timing.prefill_seconds);
  json["eval_count"] = reply.token_ids.size();
  json["eval_duration"] = nanoseconds(reply.timing.decode_seconds);
  return json;
}

std::string OllamaReplyWriter::on_end(const End& end) {
  if (end.error) return json_line({{"error", end.error->message}}) + "\n";
  if (!options_.streams) {
    append(whole_, end.output);
    last_ = last_line(end, whole_);
    return {};
  }
  std::string lines;
  if (!is_empty(end.output)) lines = json_line(line(end.output)) + "\n";
  return lines + json_line(last_line(end, {})) + "\n";
}

HttpResponse OllamaReplyWriter::response() {
  if (!logprobs_.empty()) last_["logprobs"] = std::move(logprobs_);
  HttpResponse response;
  response.body = json_line(last_);
  return response;
}

HttpResponse OllamaReplyWriter::loaded(Kind kind, const std::string& model, std::string_view done_reason) {
  Json json = head(kind, model, {}, 0);
  json["done"] = true;
  json["done_reason"] = done_reason;
  HttpResponse response;
  response.body = json_line(json);
  return response;
}

}  // namespace hotaru::server
