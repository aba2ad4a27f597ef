// The text of a graph: one line a node, floats in the fewest digits that give them back.
#include <fmt/format.h>

#include <string_view>

#include "graph/graph.h"

namespace hotaru {
namespace {

std::string_view kind_name(NodeKind kind) {
  switch (kind) {
    case NodeKind::kEmbed:
      return "embed";
    case NodeKind::kRmsNorm:
      return "rms_norm";
    case NodeKind::kLinear:
      return "linear";
    case NodeKind::kHeadNorm:
      return "head_norm";
    case NodeKind::kRope:
      return "rope";
    case NodeKind::kAttention:
      return "attention";
    case NodeKind::kSwiGlu:
      return "swiglu";
    case NodeKind::kAdd:
      return "add";
  }
  return "?";
}

std::string_view rewrite_name(RewriteKind kind) {
  switch (kind) {
    case RewriteKind::kScaleColumns:
      return "scale columns";
    case RewriteKind::kScaleRows:
      return "scale rows";
    case RewriteKind::kRotateColumns:
      return "rotate columns";
    case RewriteKind::kRotateRows:
      return "rotate rows";
    case RewriteKind::kPermuteColumns:
      return "permute columns";
    case RewriteKind::kPermuteRows:
      return "permute rows";
  }
  return "?";
}

std::string parameter_text(const Parameter& parameter) {
  std::string text = parameter.rows == 1
                         ? fmt::format("{} [{}]", parameter.name, parameter.columns)
                         : fmt::format("{} [{}, {}]", parameter.name, parameter.rows, parameter.columns);
  for (const Rewrite& rewrite : parameter.rewrites) {
    text += fmt::format(" {{{}: {}}}", rewrite.pass, rewrite_name(rewrite.kind));
  }
  return text;
}

// "[T, 256]", then what static quantisation the value has: "[T, 256] u8 scale 0.5 zero 12".
std::string value_text(const Value& value) {
  std::string text = fmt::format("[T, {}]", value.width);
  if (value.ranges.empty()) return text;
  text += fmt::format(" {}{}", value.is_symmetric ? 's' : 'u', value.bits);
  for (const StaticRange& range : value.ranges) text += fmt::format(" scale {} zero {}", range.scale, range.zero_point);
  return text;
}

std::string attributes_text(const Node& node) {
  switch (node.kind) {
    case NodeKind::kRmsNorm:
      return fmt::format(" epsilon {}", node.epsilon);
    case NodeKind::kHeadNorm:
      return fmt::format(" heads {} epsilon {}", node.heads, node.epsilon);
    case NodeKind::kRope:
      return node.attention_factor == 1.0F ? fmt::format(" heads {}", node.heads)
                                           : fmt::format(" heads {} factor {}", node.heads, node.attention_factor);
    case NodeKind::kAttention:
      return fmt::format(" heads {} kv_heads {} head_width {}", node.heads, node.kv_heads, node.head_width);
    default:
      return "";
  }
}

std::string node_text(const Graph& graph, const Node& node) {
  const Value& output = graph.values[static_cast<size_t>(node.output)];
  std::string text = fmt::format("{}: {} = {}(", output.name, value_text(output), kind_name(node.kind));
  std::string_view separator;
  for (const ValueId input : node.inputs) {
    text += fmt::format("{}{}", separator, graph.values[static_cast<size_t>(input)].name);
    separator = ", ";
  }
  separator = node.inputs.empty() ? "" : "; ";
  for (const ParameterId id : parameters_of(node)) {
    if (id == kNone) continue;
    text += fmt::format("{}{}", separator, parameter_text(graph.parameters[static_cast<size_t>(id)]));
    separator = ", ";
  }
  return text + ")" + attributes_text(node) + "\n";
}

}  // namespace

std::string print(const Graph& graph) {
  const GraphShape& shape = graph.shape;
  std::string text = fmt::format("graph {} ({})\n", graph.name, graph.architecture);
  text += fmt::format("shape: layers {}, width {}, query heads {}, kv heads {}, head width {}, ffn width {}, ",
                      shape.layers, shape.width, shape.query_heads, shape.kv_heads, shape.head_width, shape.ffn_width);
  text += fmt::format("vocabulary {}, positions {}{}\n", shape.vocabulary, shape.max_positions,
                      graph.tied_embeddings ? ", tied embeddings" : "");
  text += "passes:";
  for (const std::string& pass : graph.passes) text += " " + pass;
  text += graph.passes.empty() ? " none\n" : "\n";
  if (!graph.prefix.empty()) text += fmt::format("prefix: {}\n", fmt::join(graph.prefix, " "));
  for (const Node& node : graph.nodes) text += node_text(graph, node);
  return text;
}

}  // namespace hotaru
