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

}  // namespace hotaru
