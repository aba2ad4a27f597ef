// A change of basis of a linear's outputs or inputs: the matrix and the vectors that live in the same basis.
#pragma once

#include "graph/graph.h"

namespace hotaru {

// `rewrite` of a ...Rows kind: y <- y L^T. The bias goes along.
void rewrite_outputs(Graph& graph, const Node& linear, const Rewrite& rewrite);
// `rewrite` of a ...Columns kind, the inverse of what happened to x. The input shift goes along with x.
void rewrite_inputs(Graph& graph, const Node& linear, const Rewrite& rewrite);

// Rewrites of a vector [1, N] or of a matrix's columns.
void add_rewrite(Graph& graph, ParameterId id, Rewrite rewrite);

}  // namespace hotaru
