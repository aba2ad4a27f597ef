// The graph that passes work on: values, parameters, nodes. Structure and names only; float weights stay in the
// checkpoint and are materialised one block at a time (compiler/weights.h), with their rewrites applied.
//
// Text of a block (graph/print.h):
//   layers.0.q: [T, 256] = linear(layers.0.norm1; layers.0.q.weight [256, 256], layers.0.q.bias)
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace hotaru {

// real = scale * (code - zero_point)
struct StaticRange {
  float scale = 1;
  int zero_point = 0;
};

using ValueId = int;
using ParameterId = int;
inline constexpr int kNone = -1;

// A row vector per token: [T, width].
struct Value {
  std::string name;
  int64_t width = 0;
  int bits = 8;
  bool is_symmetric = false;        // queries: s8, zero point 0
  std::vector<StaticRange> ranges;  // empty: float; one: per tensor; more: per head
};

enum class RewriteKind { kScaleColumns, kScaleRows, kRotateColumns, kRotateRows, kPermuteColumns, kPermuteRows };

// An exact change of basis of a parameter, in the order applied. Q is Rotation(n, seed) (compiler/rotation.h).
//   ScaleColumns    W[r, c] *= values[c]         ScaleRows    W[r, c] *= values[r]
//   RotateColumns   W <- W Q                     RotateRows   W <- Q^T W
//   PermuteColumns  W'[r, c] = W[r, values[c]]   PermuteRows  W'[r, c] = W[values[r], c]
// A vector is a row [1, N], so it always takes the Columns kind: the bias of a linear with RotateRows, RotateColumns.
struct Rewrite {
  RewriteKind kind = RewriteKind::kScaleColumns;
  std::string pass;  // who did it
  std::vector<double> values;
  uint64_t seed = 0;   // rotations
  uint32_t order = 0;  // Hadamard order K of n = K * 2^m
  uint32_t block = 0;  // rotation within blocks of this width (heads); 0: whole
};

// A weight [rows, columns], y = x W^T, or a vector (rows 1).
struct Parameter {
  std::string name;
  std::string source;  // tensor of the checkpoint; empty: `values` holds it
  int64_t rows = 1;
  int64_t columns = 0;
  std::vector<Rewrite> rewrites;
  std::vector<double> values;  // constants made by us (rope frequencies)
};

enum class NodeKind { kEmbed, kRmsNorm, kLinear, kHeadNorm, kRope, kAttention, kSwiGlu, kAdd };

// One node. Inputs and output are values; which fields mean something depends on the kind:
//   embed      ()            -> [T, D]      weight [V, D]
//   rms_norm   (x)           -> [T, D]      weight = gamma [D] or none (all ones), epsilon
//   linear     (x)           -> [T, N]      weight [N, K], bias [N] or none
//   head_norm  (x)           -> [T, heads*E] weight = gamma [E], epsilon; per head (Qwen3)
//   rope       (x)           -> [T, heads*E] frequency F64 [E/2], attention_factor; pairs (j, j + E/2)
//   attention  (q, k, v)     -> [T, heads*E] causal, scale 1/sqrt(E), kv_heads shared by heads / kv_heads queries
//   swiglu     (gate, up)    -> [T, F]      silu(gate) * up
//   add        (a, b)        -> [T, D]
struct Node {
  NodeKind kind = NodeKind::kAdd;
  std::string name;
  int layer = -1;  // -1: embedding; layer count: final norm and head
  std::vector<ValueId> inputs;
  ValueId output = kNone;
  ParameterId weight = kNone;
  ParameterId bias = kNone;
  float epsilon = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_width = 0;
  ParameterId frequency = kNone;
  float attention_factor = 1;
  ParameterId key_shift = kNone;  // attention: subtracted from every key, [1, G*E] (QUANTISATION 3)
  ParameterId key_bias = kNone;   // attention: kept out of the cached keys and added, rotated to each key's position
  // attention: the prefix tokens' keys [P, G*E] as queries meet them: rotated to 0 .. P-1, with key_bias, not shifted
  ParameterId prefix_key = kNone;
  ParameterId prefix_value = kNone;  // attention: [P, G*E]
  float key_bias_reach = 0;  // attention with key_bias: its queries' largest coefficient (kernels/bias_columns.h)
  ParameterId input_shift = kNone;  // linear: a constant [1, K] once part of its input, now part of its bias
};

// Every parameter that the node names or could name (kNone).
std::vector<ParameterId> parameters_of(const Node& node);

struct GraphShape {
  int64_t layers = 0, width = 0, query_heads = 0, kv_heads = 0, head_width = 0, ffn_width = 0, vocabulary = 0,
          max_positions = 0;
};

struct Graph {
  std::string name;
  std::string architecture;
  GraphShape shape;
  bool tied_embeddings = false;  // embedding and head are one parameter
  std::vector<Value> values;
  std::vector<Parameter> parameters;
  std::vector<Node> nodes;          // in execution order; a layer's nodes are contiguous
  std::vector<std::string> passes;  // applied so far
  std::vector<int32_t> prefix;      // ids of the prefix tokens; a text's first token has position prefix.size()

  ValueId add_value(std::string value_name, int64_t width);
  ParameterId add_parameter(Parameter parameter);
  Node& add_node(Node node);  // CHECKs ids
  // Node range [begin, end) of a layer.
  struct Range {
    size_t begin, end;
  };
  [[nodiscard]] Range layer_nodes(int layer) const;
};

// Widths and shapes of every node agree, ids are in range, each value is made once before it is used.
Result<void> verify(const Graph& graph);
// Readable text of the whole graph, one line a node; stable (goldens).
std::string print(const Graph& graph);

}  // namespace hotaru
