// One reply: the pending prompt goes through the device in chunks, then token by token: logits, sampler, text, until
// something ends it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "genai/context.h"
#include "genai/reply_text.h"
#include "genai/sampling_params.h"

namespace hotaru {

enum class ReplyStatus { kLogicalEnd, kMaxTokens, kAborted, kContextFull };
std::string_view reply_status_name(ReplyStatus status);  // "logical_end", "max_tokens", "aborted", "context_full"

// What happens when the context has no room for the next token.
enum class WhenFull {
  kError,  // generate() fails; what was generated stays in the context
  kStop,   // the reply ends with kContextFull
  kShift,  // not supported yet: generate() refuses it
};

struct GenerationOptions {
  SamplingParams sampling;
  int max_tokens = -1;            // generated ids, special ones included; 0: prefill only; -1: what the context holds
  std::vector<int32_t> stop_ids;  // end of turn, end of text: kept in token_ids and in the context, not in the text
  // Appended to the context, not counted, after a cut (kMaxTokens, kAborted), so that the next turn finds the reply
  // closed. Usually the end of turn.
  std::vector<int32_t> recovery_ids;
  WhenFull when_full = WhenFull::kStop;
  int prefill_chunk = 0;  // tokens of one prefill step; 0: as many as the device takes
  bool hash_logits = false;
  const std::atomic<bool>* abort = nullptr;  // ends the reply within one token (or one prefill chunk)
};

struct ReplyTiming {
  double first_token_seconds = 0.0;  // from the call to the first sampled token
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;  // all tokens after the first
};

struct Reply {
  std::string text;
  std::vector<int32_t> token_ids;
  ReplyStatus status = ReplyStatus::kLogicalEnd;
  int prefilled_tokens = 0;  // pending tokens of the prompt; fewer than the prompt's when a prefix was stored already
  ReplyTiming timing;
  std::string logits_sha256;  // of the float32 little-endian logits of every sampled token, with hash_logits
};

// Called with every piece of text, valid UTF-8. False stops the reply as an abort does.
using OnText = std::function<bool(std::string_view)>;

// Generates after the context's ids. `text` turns ids into text and looks for stop strings; nullptr: ids only. The last
// sampled token stays pending in the context. options.sampling must have passed check_sampling_params.
Result<Reply> generate(Context& context, const GenerationOptions& options, ReplyText* text, const OnText& on_text);

}  // namespace hotaru
