// The passes, one file each; their order is in compiler/pipeline.cc.
#pragma once

#include "compiler/pass.h"

namespace hotaru {

// A tied head gets a parameter of its own, made of the same tensor.
Result<void> untie_head(PassContext& context);

// gamma of every norm into the columns of the linears behind it (QUANTISATION 1.1): W <- W diag(gamma), gamma := 1.
Result<void> fold_norms(PassContext& context);

// Softmax rows sum to one, so the value bias goes through attention as it is: b_o += W_o b_v, b_v := none.
Result<void> fold_value_bias(PassContext& context);

// What every channel of queries, keys, values and down's input does on calibration text; changes nothing.
Result<void> observe(PassContext& context);

// Rotary pairs: K rows * s, Q rows / s, s chosen for what 8-bit queries and keys lose of the scores.
Result<void> scale_query_key(PassContext& context);

// Channels of the ffn: up rows / s, down columns * s, s chosen for what 8-bit inputs and 4-bit weights lose.
Result<void> scale_up_down(PassContext& context);

// Channels of the ffn by falling power: groups of down's inputs get likes, and the heavy ones are rounded first.
Result<void> permute_ffn(PassContext& context);

// R2 (QuaRot): values and what reads them are turned within each head.
Result<void> rotate_values(PassContext& context);

// R1 (QuaRot): the residual stream is turned. Needs the head untied and all gammas folded.
Result<void> rotate_residual(PassContext& context);

// Static 8-bit ranges of every linear's input, of queries, keys and values, from the float model on calibration text.
Result<void> calibrate(PassContext& context);

// Rounds every matrix to its stored form: linears to int4 with group multipliers, embedding and head to int8 per row.
Result<void> quantise_rtn(PassContext& context);

// Where the first token's activations are massive: the usual first token becomes a constant prefix of every context
// (QUANTISATION 3). Behind all rewrites: the constants are in the final basis.
Result<void> choose_prefix(PassContext& context);

// GPTQ, layer by layer on what the layers before it became; ranges are measured on the way, so no `calibrate`.
Result<void> quantise_gptq(PassContext& context);

}  // namespace hotaru
