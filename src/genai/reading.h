// A text that is read, not continued: how likely each of its tokens is after those before it, and where the model
// places it (an embedding).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "genai/reply.h"

namespace hotaru {

class ReplyChannel;

// One token of the text under the quantised model's own logits (docs/runtime.md), beside what else was likely there.
struct TokenScore {
  // In binary64; nothing where the device has no logits in front: of the first token, and of the HEF's prefix tokens
  // and the one behind them when the text begins with them (BOS).
  std::optional<double> logprob;
  std::vector<TokenLogprob> top;  // the most likely ones, best first; as many as were asked for
};

struct Reading {
  std::vector<TokenScore> scores;  // of each of the ids; none when none were asked for
  // [D], of length 1: the final norm's output for the last token, as the output layer reads it. Cosines between the
  // embeddings of one HEF mean something, those between two HEFs do not (their bases differ).
  std::vector<float> embedding;
};

struct ReadingRequest {
  std::vector<int32_t> ids;  // as the tokenizer gives them, at least one
  int adapter = kNoAdapter;
  int top_logprobs = -1;  // -1: no scores at all; 0: of the text's tokens only
  bool wants_embedding = false;
  // Called once, on the engine's thread, when all is read or it will not be: kAborted, or kNoMemory. Must return at
  // once and not call the engine.
  std::function<void(Result<Reading>)> on_done;
};

// A reading on its way, of which copies are the same. Any thread; it may outlive the engine. Forgetting it aborts
// nothing.
class ReadingTicket {
 public:
  explicit ReadingTicket(std::shared_ptr<ReplyChannel> channel) : channel_(std::move(channel)) {}
  // Returns at once; on_done is called with kAborted after one step at most, unless it has been.
  void abort() const;

 private:
  std::shared_ptr<ReplyChannel> channel_;
};

}  // namespace hotaru
