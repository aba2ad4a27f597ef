// Log-probabilities as completions write them: four lists, one entry a token.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "genai/language_model.h"
#include "genai/reply.h"

namespace hotaru::server {

// Unicode characters of UTF-8.
size_t characters(std::string_view utf8);

class CompletionLogprobs {
 public:
  // `text_offset`: of the first token in prompt and text together, in characters. Without `has_top` top_logprobs is
  // null.
  explicit CompletionLogprobs(size_t text_offset = 0, bool has_top = false)
      : next_offset_(text_offset), has_top_(has_top) {}
  // No `logprob`: nothing was predicted here, as of a prompt's first token.
  void add(const LanguageModel& model, int32_t id, std::optional<double> logprob, const std::vector<TokenLogprob>& top);
  // What was added since the last take(): tokens, token_logprobs, top_logprobs, text_offset.
  [[nodiscard]] Json take();
  [[nodiscard]] bool empty() const { return tokens_.empty(); }

 private:
  size_t next_offset_ = 0;
  bool has_top_ = false;
  Json tokens_ = Json::array(), token_logprobs_ = Json::array();
  Json top_logprobs_ = Json::array(), text_offset_ = Json::array();
};

// `more` behind `logprobs`, both as take() gives them.
void append_logprobs(Json& logprobs, const Json& more);

}  // namespace hotaru::server
