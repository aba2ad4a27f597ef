#include "graph/graph.h"

#include <gtest/gtest.h>

#include <functional>

namespace hotaru {
namespace {

Parameter vector_parameter(std::string name, int64_t columns) {
  Parameter parameter;
  parameter.name = std::move(name);
  parameter.source = parameter.name;
  parameter.columns = columns;
  return parameter;
}

Parameter matrix(std::string name, int64_t rows, int64_t columns) {
  Parameter parameter = vector_parameter(std::move(name), columns);
  parameter.rows = rows;
  return parameter;
}

struct Wanted {
  NodeKind kind;
  const char* name;
  std::vector<ValueId> inputs;
  int64_t width;
  ParameterId weight = kNone;
};

Node& append(Graph& graph, const Wanted& wanted) {
  Node node;
  node.kind = wanted.kind;
  node.name = wanted.name;
  node.layer = wanted.inputs.empty() ? -1 : 0;
  node.inputs = wanted.inputs;
  node.weight = wanted.weight;
  node.output = graph.add_value(wanted.name, wanted.width);
  return graph.add_node(std::move(node));
}

// embed -> norm -> q (rotated, normed per head) -> attention with itself -> add.
Graph small_graph() {
  Graph graph;
  graph.name = "small";
  graph.architecture = "Test";
  graph.shape = {.layers = 1,
                 .width = 8,
                 .query_heads = 2,
                 .kv_heads = 2,
                 .head_width = 4,
                 .ffn_width = 8,
                 .vocabulary = 5,
                 .max_positions = 16};
  append(graph, {NodeKind::kEmbed, "x", {}, 8, graph.add_parameter(matrix("embed.weight", 5, 8))});
  append(graph, {NodeKind::kRmsNorm, "norm", {0}, 8, graph.add_parameter(vector_parameter("norm.weight", 8))}).epsilon =
      1e-5F;
  Node& linear = append(graph, {NodeKind::kLinear, "q", {1}, 8, graph.add_parameter(matrix("q.weight", 8, 8))});
  linear.bias = graph.add_parameter(vector_parameter("q.bias", 8));
  Node& head_norm =
      append(graph, {NodeKind::kHeadNorm, "q_norm", {2}, 8, graph.add_parameter(vector_parameter("qn.weight", 4))});
  head_norm.heads = 2;
  head_norm.head_width = 4;
  Node& rope = append(graph, {NodeKind::kRope, "q_rope", {3}, 8});
  rope.heads = 2;
  rope.head_width = 4;
  rope.frequency = graph.add_parameter(vector_parameter("rope.frequency", 2));
  Node& attention = append(graph, {NodeKind::kAttention, "attention", {4, 4, 4}, 8});
  attention.heads = attention.kv_heads = 2;
  attention.head_width = 4;
  append(graph, {NodeKind::kAdd, "sum", {0, 5}, 8});
  return graph;
}

TEST(Graph, PrintsOneLinePerNode) {
  Graph graph = small_graph();
  graph.passes = {"fold-norms"};
  graph.parameters[2].rewrites.push_back(
      {.kind = RewriteKind::kScaleColumns, .pass = "fold-norms", .values = std::vector<double>(8, 1)});
  graph.values[1].ranges = {{0.25F, 3}};
  EXPECT_EQ(
      print(graph),
      "graph small (Test)\n"
      "shape: layers 1, width 8, query heads 2, kv heads 2, head width 4, ffn width 8, vocabulary 5, positions 16\n"
      "passes: fold-norms\n"
      "x: [T, 8] = embed(embed.weight [5, 8])\n"
      "norm: [T, 8] u8 scale 0.25 zero 3 = rms_norm(x; norm.weight [8]) epsilon 1e-05\n"
      "q: [T, 8] = linear(norm; q.weight [8, 8] {fold-norms: scale columns}, q.bias [8])\n"
      "q_norm: [T, 8] = head_norm(q; qn.weight [4]) heads 2 epsilon 0\n"
      "q_rope: [T, 8] = rope(q_norm; rope.frequency [2]) heads 2\n"
      "attention: [T, 8] = attention(q_rope, q_rope, q_rope) heads 2 kv_heads 2 head_width 4\n"
      "sum: [T, 8] = add(x, attention)\n");
}

TEST(Graph, LayerNodesAreContiguous) {
  const Graph graph = small_graph();
  EXPECT_EQ(graph.layer_nodes(-1).end, 1U);
  EXPECT_EQ(graph.layer_nodes(0).begin, 1U);
  EXPECT_EQ(graph.layer_nodes(0).end, 7U);
  const Graph::Range none = graph.layer_nodes(1);
  EXPECT_EQ(none.begin, none.end);
}

struct Damage {
  const char* name;
  std::function<void(Graph&)> apply;
  const char* message;  // part of the error
};

TEST(Graph, VerifyAcceptsTheSmallGraph) {
  const auto verified = verify(small_graph());
  EXPECT_TRUE(verified.ok()) << verified.error().message;
}

TEST(Graph, VerifyNamesWhatIsWrong) {
  const std::vector<Damage> damages = {
      {"value width", [](Graph& g) { g.values[2].width = -8; }, "'q': got width -8"},
      {"scale",
       [](Graph& g) {
         g.values[2].ranges = {{-1, 0}};
       },
       "'q': got scale -1"},
      {"parameter shape", [](Graph& g) { g.parameters[0].rows = 0; }, "'embed.weight': got [0, 8]"},
      {"huge parameter", [](Graph& g) { g.parameters[0].rows = INT64_MAX; },
       "'embed.weight': got [9223372036854775807, 8]"},
      {"constant count", [](Graph& g) { g.parameters[5].values = {1}; }, "'rope.frequency': got 1 values, want 2"},
      {"rewrite count",
       [](Graph& g) {
         g.parameters[2].rewrites.push_back({.kind = RewriteKind::kScaleRows, .pass = "p", .values = {1}});
       },
       "got 1 values, want 8"},
      {"output id", [](Graph& g) { g.nodes[2].output = 99; }, "'q': got output 99"},
      {"input id", [](Graph& g) { g.nodes[2].inputs = {-1}; }, "'q': got input -1"},
      {"parameter id", [](Graph& g) { g.nodes[2].weight = 44; }, "'q': got parameter 44"},
      {"no weight", [](Graph& g) { g.nodes[2].weight = kNone; }, "'q': it has no weight"},
      {"weight shape", [](Graph& g) { g.nodes[2].weight = 0; }, "weight 'embed.weight': got [5, 8], want [8, 8]"},
      {"bias shape", [](Graph& g) { g.nodes[2].bias = 4; }, "bias 'qn.weight': got [1, 4], want [1, 8]"},
      {"input count", [](Graph& g) { g.nodes[5].inputs = {4}; }, "got 1 inputs, want 3"},
      {"made twice", [](Graph& g) { g.nodes[2].output = 1; }, "'norm' is made twice"},
      {"used before made", [](Graph& g) { g.nodes[1].inputs = {6}; }, "'sum' is used before it is made"},
      {"layer order", [](Graph& g) { g.nodes[1].layer = 1; }, "got layer 0 after layer 1"},
      {"layer range", [](Graph& g) { g.nodes[6].layer = 2; }, "got layer 2"},
      {"heads", [](Graph& g) { g.nodes[4].heads = 3; }, "got heads 3 of width 4"},
      {"kv heads", [](Graph& g) { g.nodes[5].kv_heads = 0; }, "got kv_heads 0 of width 4"},
      {"frequency", [](Graph& g) { g.nodes[4].frequency = 4; }, "frequency 'qn.weight'"},
      {"kind", [](Graph& g) { g.nodes[4].kind = static_cast<NodeKind>(77); }, "got node kind 77"},
      {"add widths",
       [](Graph& g) {
         g.values[0].width = 4;
         g.parameters[0].columns = 4;
       },
       "got width 4, want 8"},
  };
  for (const Damage& damage : damages) {
    Graph graph = small_graph();
    damage.apply(graph);
    const auto verified = verify(graph);
    ASSERT_FALSE(verified.ok()) << damage.name;
    EXPECT_NE(verified.error().message.find(damage.message), std::string::npos)
        << damage.name << ": " << verified.error().message;
  }
}

}  // namespace
}  // namespace hotaru
