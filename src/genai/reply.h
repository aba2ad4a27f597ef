// What a reply is: its pieces on the way, and all of it at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hotaru {

enum class ReplyStatus { kLogicalEnd, kMaxTokens, kAborted, kContextFull };
std::string_view reply_status_name(ReplyStatus status);  // "logical_end", "max_tokens", "aborted", "context_full"

// The log-probability of a token under the quantised model's own logits, before penalties, bias and temperature
// (docs/runtime.md).
struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

// What one sampled token brings.
struct ReplyPiece {
  int32_t id = 0;    // -1: no token, only text that was held back until the reply was cut
  std::string text;  // valid UTF-8, final; often empty
  float logprob = 0;
  std::vector<TokenLogprob> top;  // the most likely ones, best first; as many as were asked for
};

struct ReplyTiming {
  double first_token_seconds = 0.0;  // from the call to the first sampled token
  double prefill_seconds = 0.0;      // to the prompt's logits, or without a token to its last row
  double decode_seconds = 0.0;       // all tokens after the first
};

struct Reply {
  std::string text;
  std::vector<int32_t> token_ids;
  ReplyStatus status = ReplyStatus::kLogicalEnd;
  std::string stop_string;   // that ended it; neither it nor what follows is in `text`
  int prefilled_tokens = 0;  // pending tokens of the prompt; fewer than the prompt's when a prefix was stored already
  int shifts = 0;            // how often a full context forgot its oldest tokens (WhenFull::kShift)
  ReplyTiming timing;
  std::string logits_sha256;  // of the float32 little-endian logits of every sampled token, with hash_logits
};

}  // namespace hotaru
