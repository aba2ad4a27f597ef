// Recognises the nodes of one transformer block, the unit that lowering turns into kernel calls.
#pragma once

#include "base/result.h"
#include "graph/graph.h"

namespace hotaru {

// x = x + o(attention(rope(q_norm(q(n))), rope(k_norm(k(n))), v(n))) with n = norm1(x)
// x = x + down(silu(gate(n)) * up(n))                            with n = norm2(x)
struct Block {
  const Node* norm1 = nullptr;
  const Node* q = nullptr;
  const Node* k = nullptr;
  const Node* v = nullptr;
  const Node* q_norm = nullptr;  // null: none
  const Node* k_norm = nullptr;  // null: none
  const Node* q_rope = nullptr;
  const Node* k_rope = nullptr;
  const Node* attention = nullptr;
  const Node* o = nullptr;
  const Node* norm2 = nullptr;
  const Node* gate = nullptr;
  const Node* up = nullptr;
  const Node* swiglu = nullptr;
  const Node* down = nullptr;
};

// An error says what is not there: the device has calls for exactly this shape of block.
Result<Block> match_block(const Graph& graph, int layer);

// What stands around the blocks.
struct Ends {
  const Node* embed = nullptr;
  const Node* norm = nullptr;
  const Node* head = nullptr;
};
Result<Ends> match_ends(const Graph& graph);

}  // namespace hotaru
