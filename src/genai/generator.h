// One reply: the pending prompt goes through the device in chunks, then token by token: logits, sampler, text, until
// something ends it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "genai/context.h"
#include "genai/reply.h"
#include "genai/reply_text.h"
#include "genai/sampling_params.h"
#include "genai/token_mask.h"

namespace hotaru {

// What happens when the context has no room for the next token.
enum class WhenFull {
  kError,  // generate() fails; what was generated stays in the context
  kStop,   // the reply ends with kContextFull
  // The context forgets: of what is behind the first `keep_tokens` the older half; the reply counts it in `shifts`.
  kShift,
};

struct GenerationOptions {
  SamplingParams sampling;
  int max_tokens = -1;            // generated ids, special ones included; 0: prefill only; -1: what the context holds
  std::vector<int32_t> stop_ids;  // end of turn, end of text: kept in token_ids and in the context, not in the text
  // Appended to the context, not counted, after a cut (kMaxTokens, kAborted), so that the next turn finds the reply
  // closed. Usually the end of turn.
  std::vector<int32_t> recovery_ids;
  WhenFull when_full = WhenFull::kStop;
  int keep_tokens = -1;  // of kShift; -1: a quarter of what the context can hold
  // Called once for each reply (for each of several samples). May be empty.
  std::function<std::unique_ptr<TokenMask>()> make_token_mask;
  int prefill_chunk = 0;  // tokens of one prefill step; 0: as many as the device takes
  bool hash_logits = false;
  const std::atomic<bool>* abort = nullptr;  // ends the reply within one token (or one prefill chunk)
};

// Called with every piece of text, valid UTF-8. False stops the reply as an abort does.
using OnText = std::function<bool(std::string_view)>;

// Generates after the context's ids. `text` turns ids into text and looks for stop strings; nullptr: ids only. The last
// sampled token stays pending in the context. options.sampling must have passed check_sampling_params.
Result<Reply> generate(Context& context, const GenerationOptions& options, ReplyText* text, const OnText& on_text);

}  // namespace hotaru
