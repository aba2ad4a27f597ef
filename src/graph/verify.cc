// The rules of a graph. A graph may come from a file (HAR), so nothing is taken for granted here: verify() is what
// makes ids, widths and shapes safe to use.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "graph/graph.h"

namespace hotaru {
namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 31;  // of one axis: products of two stay far inside int64
constexpr int kMaxHeads = 1 << 16;
constexpr size_t kMaxPrefix = 16;

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), made_(graph.values.size(), false) {}

  Result<void> run() {
    for (const Value& value : graph_.values) TRY(check_value(value));
    for (const Parameter& parameter : graph_.parameters) TRY(check_parameter(parameter));
    TRY(check_prefix());
    int layer = -1;
    for (const Node& node : graph_.nodes) {
      if (auto checked = check_node(node, layer); !checked) return at(place_of(node), std::move(checked).error());
      layer = node.layer;
      made_[static_cast<size_t>(node.output)] = true;
    }
    return {};
  }

 private:
  static std::string place_of(const Node& node) { return fmt::format("graph node '{}'", node.name); }

  Result<void> check_prefix() const {
    if (graph_.prefix.size() > kMaxPrefix) {
      return invalid("graph: got {} prefix tokens, want at most {}", graph_.prefix.size(), kMaxPrefix);
    }
    for (const int32_t id : graph_.prefix) {
      if (id >= 0 && id < graph_.shape.vocabulary) continue;
      return invalid("graph: got prefix token {}, want [0, {})", id, graph_.shape.vocabulary);
    }
    return {};
  }

  static Result<void> check_value(const Value& value) {
    if (value.width < 1 || value.width > kMaxExtent) {
      return invalid("graph value '{}': got width {}, want [1, {}]", value.name, value.width, kMaxExtent);
    }
    for (const StaticRange& range : value.ranges) {
      if (!std::isfinite(range.scale) || range.scale <= 0) {
        return invalid("graph value '{}': got scale {}, want a positive number", value.name, range.scale);
      }
    }
    return {};
  }

  static Result<void> check_parameter(const Parameter& parameter) {
    for (const int64_t extent : {parameter.rows, parameter.columns}) {
      if (extent >= 1 && extent <= kMaxExtent) continue;
      return invalid("graph parameter '{}': got [{}, {}], want axes in [1, {}]", parameter.name, parameter.rows,
                     parameter.columns, kMaxExtent);
    }
    const auto count = static_cast<uint64_t>(parameter.rows) * static_cast<uint64_t>(parameter.columns);
    if (!parameter.values.empty() && parameter.values.size() != count) {
      return invalid("graph parameter '{}': got {} values, want {}", parameter.name, parameter.values.size(), count);
    }
    for (const Rewrite& rewrite : parameter.rewrites) TRY(check_rewrite(parameter, rewrite));
    return {};
  }

  static Result<void> check_rewrite(const Parameter& parameter, const Rewrite& rewrite) {
    const bool of_columns = rewrite.kind == RewriteKind::kScaleColumns || rewrite.kind == RewriteKind::kPermuteColumns;
    const bool of_rows = rewrite.kind == RewriteKind::kScaleRows || rewrite.kind == RewriteKind::kPermuteRows;
    if (!of_columns && !of_rows) return {};
    const auto want = static_cast<size_t>(of_columns ? parameter.columns : parameter.rows);
    if (rewrite.values.size() == want) return {};
    return invalid("graph parameter '{}': rewrite of pass '{}': got {} values, want {}", parameter.name, rewrite.pass,
                   rewrite.values.size(), want);
  }

  Result<void> check_node(const Node& node, int layer_before) const {
    if (node.layer < layer_before || node.layer > graph_.shape.layers) {
      return invalid("got layer {} after layer {}, want layers that rise up to {}", node.layer, layer_before,
                     graph_.shape.layers);
    }
    TRY(check_ids(node));
    if (made_[static_cast<size_t>(node.output)])
      return invalid("its output '{}' is made twice", value(node.output).name);
    for (const ValueId input : node.inputs) {
      if (!made_[static_cast<size_t>(input)])
        return invalid("its input '{}' is used before it is made", value(input).name);
    }
    return check_kind(node);
  }

  Result<void> check_ids(const Node& node) const {
    const auto values = static_cast<int>(graph_.values.size());
    const auto parameters = static_cast<int>(graph_.parameters.size());
    if (node.output < 0 || node.output >= values) return invalid("got output {}, want [0, {})", node.output, values);
    for (const ValueId input : node.inputs) {
      if (input < 0 || input >= values) return invalid("got input {}, want [0, {})", input, values);
    }
    for (const ParameterId id : parameters_of(node)) {
      if (id < kNone || id >= parameters) return invalid("got parameter {}, want [-1, {})", id, parameters);
    }
    return {};
  }

  Result<void> check_kind(const Node& node) const {
    const int64_t out = value(node.output).width;
    switch (node.kind) {
      case NodeKind::kEmbed:
        TRY(want_inputs(node, 0));
        return want_shape("weight", node.weight, graph_.shape.vocabulary, out);
      case NodeKind::kRmsNorm:
        TRY(want_inputs(node, 1));
        TRY(want_width(node, 0, out));
        return want_optional("weight", node.weight, {1, out});
      case NodeKind::kLinear:
        TRY(want_inputs(node, 1));
        TRY(want_shape("weight", node.weight, out, value(node.inputs[0]).width));
        TRY(want_optional("input_shift", node.input_shift, {1, value(node.inputs[0]).width}));
        return want_optional("bias", node.bias, {1, out});
      case NodeKind::kHeadNorm:
      case NodeKind::kRope:
        return check_per_head(node, out);
      case NodeKind::kAttention:
        return check_attention(node, out);
      case NodeKind::kSwiGlu:
      case NodeKind::kAdd:
        TRY(want_inputs(node, 2));
        TRY(want_width(node, 0, out));
        return want_width(node, 1, out);
    }
    return invalid("got node kind {}, want one of the graph's kinds", static_cast<int>(node.kind));
  }

  Result<void> check_per_head(const Node& node, int64_t out) const {
    TRY(want_inputs(node, 1));
    TRY(want_width(node, 0, out));
    TRY(want_heads("heads", node.heads, node.head_width, out));
    if (node.kind == NodeKind::kHeadNorm) return want_shape("weight", node.weight, 1, node.head_width);
    if (node.head_width % 2 != 0) return invalid("got head width {}, want an even one", node.head_width);
    return want_shape("frequency", node.frequency, 1, node.head_width / 2);
  }

  Result<void> check_attention(const Node& node, int64_t out) const {
    TRY(want_inputs(node, 3));
    TRY(want_width(node, 0, out));
    TRY(want_heads("heads", node.heads, node.head_width, out));
    const int64_t key_width = value(node.inputs[1]).width;
    TRY(want_heads("kv_heads", node.kv_heads, node.head_width, key_width));
    TRY(want_width(node, 2, key_width));
    if (node.heads % node.kv_heads != 0) {
      return invalid("got {} heads and {} kv heads, want a multiple", node.heads, node.kv_heads);
    }
    const auto prefix = static_cast<int64_t>(graph_.prefix.size());
    TRY(want_optional("key_shift", node.key_shift, {1, key_width}));
    TRY(want_optional("key_bias", node.key_bias, {1, key_width}));
    const auto maker = std::ranges::find(graph_.nodes, node.inputs[1], &Node::output);
    if (node.key_bias != kNone && (maker == graph_.nodes.end() || maker->kind != NodeKind::kRope)) {
      return invalid("it has a key_bias, but its keys come from no rope");
    }
    if (!std::isfinite(node.key_bias_reach) || node.key_bias_reach < 0) {
      return invalid("got a key_bias_reach of {}, want a number from 0", node.key_bias_reach);
    }
    if ((node.prefix_key == kNone) != (node.prefix_value == kNone)) {
      return invalid("it has the prefix tokens' keys or their values, want both or none");
    }
    TRY(want_optional("prefix_key", node.prefix_key, {prefix, key_width}));
    return want_optional("prefix_value", node.prefix_value, {prefix, key_width});
  }

  static Result<void> want_inputs(const Node& node, size_t count) {
    if (node.inputs.size() == count) return {};
    return invalid("got {} inputs, want {}", node.inputs.size(), count);
  }

  Result<void> want_width(const Node& node, size_t input, int64_t width) const {
    const Value& found = value(node.inputs[input]);
    if (found.width == width) return {};
    return invalid("input '{}': got width {}, want {}", found.name, found.width, width);
  }

  static Result<void> want_heads(const char* what, int heads, int head_width, int64_t width) {
    const bool in_range = heads >= 1 && heads <= kMaxHeads && head_width >= 1 && head_width <= kMaxHeads;
    if (in_range && int64_t{heads} * head_width == width) return {};
    return invalid("got {} {} of width {}, want them to fill {}", what, heads, head_width, width);
  }

  Result<void> want_shape(const char* what, ParameterId id, int64_t rows, int64_t columns) const {
    if (id == kNone) return invalid("it has no {}, want one [{}, {}]", what, rows, columns);
    const Parameter& found = graph_.parameters[static_cast<size_t>(id)];
    if (found.rows == rows && found.columns == columns) return {};
    return invalid("{} '{}': got [{}, {}], want [{}, {}]", what, found.name, found.rows, found.columns, rows, columns);
  }

  struct Extent {
    int64_t rows;
    int64_t columns;
  };
  Result<void> want_optional(const char* what, ParameterId id, Extent extent) const {
    return id == kNone ? Result<void>() : want_shape(what, id, extent.rows, extent.columns);
  }

  [[nodiscard]] const Value& value(ValueId id) const { return graph_.values[static_cast<size_t>(id)]; }

  const Graph& graph_;
  std::vector<bool> made_;
};

}  // namespace

Result<void> verify(const Graph& graph) { return Verifier(graph).run(); }

}  // namespace hotaru
