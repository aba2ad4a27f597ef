#include "server/openai/completion_logprobs.h"

#include <algorithm>
#include <string>
#include <utility>

#include "server/openai/token_logprobs.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kBytesPrefix = "bytes:";

}  // namespace

size_t characters(std::string_view utf8) {
  const auto starts = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; };
  return static_cast<size_t>(std::ranges::count_if(utf8, starts));
}

void CompletionLogprobs::add(const LanguageModel& model, int32_t id, std::optional<double> logprob,
                             const std::vector<TokenLogprob>& top) {
  const std::string bytes = token_bytes(model, id);
  const std::string text = token_text(bytes, kBytesPrefix);
  tokens_.push_back(text);
  token_logprobs_.push_back(logprob ? Json(std::max(*logprob, kImpossible)) : Json(nullptr));
  text_offset_.push_back(next_offset_);
  next_offset_ += characters(bytes);
  if (!has_top_) return;
  if (!logprob) return top_logprobs_.push_back(nullptr);
  Json likely = Json::object();
  for (const TokenLogprob& token : top) {
    // Two tokens may be written alike: the likelier one, which comes first, stays.
    likely.emplace(token_text(token_bytes(model, token.id), kBytesPrefix), written_logprob(token.logprob));
  }
  likely.emplace(text, std::max(*logprob, kImpossible));
  top_logprobs_.push_back(std::move(likely));
}

Json CompletionLogprobs::take() {
  Json json;
  json["tokens"] = std::exchange(tokens_, Json::array());
  json["token_logprobs"] = std::exchange(token_logprobs_, Json::array());
  json["top_logprobs"] = has_top_ ? std::exchange(top_logprobs_, Json::array()) : Json(nullptr);
  json["text_offset"] = std::exchange(text_offset_, Json::array());
  return json;
}

void append_logprobs(Json& logprobs, const Json& more) {
  for (const auto& [name, list] : more.items()) {
    for (const Json& entry : list) logprobs[name].push_back(entry);
  }
}

}  // namespace hotaru::server
