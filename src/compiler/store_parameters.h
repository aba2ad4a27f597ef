// Puts parameters in their stored form into the HAR and remembers where they are (PassContext::stored).
#pragma once

#include "compiler/pass.h"
#include "compiler/quantise_matrix.h"

namespace hotaru {

// Embedding and head: one byte a weight, since each row is a token that must stay itself.
bool is_int8(const Graph& graph, const Node& node);

// The matrix of an embedding or a linear.
Result<void> store_matrix(PassContext& context, const Node& node, const QuantisedMatrix& matrix);
// Rounds an int8 matrix row by row, stores and reports it; nothing to do if another node of a tied model did it.
Result<void> store_int8_matrix(PassContext& context, const Node& node);
// What stays in float: biases, gammas, rope frequencies, constants.
Result<void> store_vectors(PassContext& context, const Node& node);

}  // namespace hotaru
