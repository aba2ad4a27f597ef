// The passes, one file each; their order is in compiler/pipeline.cc.
#pragma once

#include "compiler/pass.h"

namespace hotaru {

// gamma of every norm into the columns of the linears behind it (QUANTISATION 1.1): W <- W diag(gamma), gamma := 1.
Result<void> fold_norms(PassContext& context);

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
