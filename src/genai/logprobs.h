// Log-probabilities of tokens under the model's own logits, the same bits on every machine.
#pragma once

#include <cstdint>
#include <span>

#include "genai/reading.h"
#include "genai/reply.h"

namespace hotaru {

// ln sum_i e^logits[i] over logits[V]; NaN counts as -infinity. Lane j of 16 sums the ids j, j + 16, ... in order; then
// the lanes are added 8-4-2-1 (docs/numerics.md, 4), in binary64.
double log_sum_exp(std::span<const float> logits);

// Of that token and of the `top` most likely ones: best first, lower ids first among equals. A token that cannot occur
// has -infinity.
TokenScore score_token(std::span<const float> logits, int32_t id, int top);
// The same, of piece.id, into the piece.
void add_logprobs(std::span<const float> logits, int top, ReplyPiece& piece);

}  // namespace hotaru
