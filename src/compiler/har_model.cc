#include "compiler/har_model.h"

#include <algorithm>
#include <cmath>

#include "format/features.h"

namespace hotaru {
namespace {

// The enums of graph.h and har.fbs list the same kinds in the same order.
static_assert(static_cast<int>(fb::NodeKind::Add) == static_cast<int>(NodeKind::kAdd));
static_assert(static_cast<int>(fb::RewriteKind::PermuteRows) == static_cast<int>(RewriteKind::kPermuteRows));

std::unique_ptr<fb::GraphValueT> value_table(const Value& value) {
  auto table = std::make_unique<fb::GraphValueT>();
  table->name = value.name;
  table->width = static_cast<uint32_t>(value.width);
  table->bits = static_cast<uint8_t>(value.bits);
  table->is_symmetric = value.is_symmetric;
  for (const StaticRange& range : value.ranges) table->ranges.emplace_back(range.scale, range.zero_point);
  return table;
}

std::unique_ptr<fb::RewriteT> rewrite_table(const Rewrite& rewrite) {
  auto table = std::make_unique<fb::RewriteT>();
  table->kind = static_cast<fb::RewriteKind>(rewrite.kind);
  table->pass = rewrite.pass;
  table->values = rewrite.values;
  table->seed = rewrite.seed;
  table->order = rewrite.order;
  table->block = rewrite.block;
  return table;
}

std::unique_ptr<fb::ParameterT> parameter_table(const Parameter& parameter, const StoredParameter& stored) {
  auto table = std::make_unique<fb::ParameterT>();
  table->name = parameter.name;
  table->source = parameter.source;
  table->rows = static_cast<uint64_t>(parameter.rows);
  table->columns = static_cast<uint64_t>(parameter.columns);
  for (const Rewrite& rewrite : parameter.rewrites) table->rewrites.push_back(rewrite_table(rewrite));
  table->packed = stored.packed;
  table->row_scale = stored.row_scale;
  table->row_sum = stored.row_sum;
  table->values = stored.values;
  return table;
}

std::unique_ptr<fb::NodeT> node_table(const Node& node) {
  auto table = std::make_unique<fb::NodeT>();
  table->kind = static_cast<fb::NodeKind>(node.kind);
  table->name = node.name;
  table->layer = node.layer;
  table->inputs.assign(node.inputs.begin(), node.inputs.end());
  table->output = node.output;
  table->weight = node.weight;
  table->bias = node.bias;
  table->epsilon = node.epsilon;
  table->heads = static_cast<uint32_t>(node.heads);
  table->kv_heads = static_cast<uint32_t>(node.kv_heads);
  table->head_width = static_cast<uint32_t>(node.head_width);
  table->frequency = node.frequency;
  table->attention_factor = node.attention_factor;
  table->key_shift = node.key_shift;
  table->key_bias = node.key_bias;
  table->prefix_key = node.prefix_key;
  table->prefix_value = node.prefix_value;
  table->input_shift = node.input_shift;
  table->key_bias_reach = node.key_bias_reach;
  return table;
}

Value value_of(const fb::GraphValueT& table) {
  Value value{table.name, table.width, table.bits, table.is_symmetric, {}};
  for (const fb::StaticRange& range : table.ranges) value.ranges.push_back({range.scale(), range.zero_point()});
  return value;
}

Parameter parameter_of(const fb::ParameterT& table) {
  Parameter parameter;
  parameter.name = table.name;
  parameter.source = table.source;
  parameter.rows = static_cast<int64_t>(table.rows);
  parameter.columns = static_cast<int64_t>(table.columns);
  for (const auto& rewrite : table.rewrites) {
    parameter.rewrites.push_back({static_cast<RewriteKind>(rewrite->kind), rewrite->pass, rewrite->values,
                                  rewrite->seed, rewrite->order, rewrite->block});
  }
  return parameter;
}

Node node_of(const fb::NodeT& table) {
  Node node;
  node.kind = static_cast<NodeKind>(table.kind);
  node.name = table.name;
  node.layer = table.layer;
  node.inputs.assign(table.inputs.begin(), table.inputs.end());
  node.output = table.output;
  node.weight = table.weight;
  node.bias = table.bias;
  node.epsilon = table.epsilon;
  node.heads = static_cast<int>(table.heads);
  node.kv_heads = static_cast<int>(table.kv_heads);
  node.head_width = static_cast<int>(table.head_width);
  node.frequency = table.frequency;
  node.attention_factor = table.attention_factor;
  node.key_shift = table.key_shift;
  node.key_bias = table.key_bias;
  node.prefix_key = table.prefix_key;
  node.prefix_value = table.prefix_value;
  node.input_shift = table.input_shift;
  node.key_bias_reach = table.key_bias_reach;
  return node;
}

GraphShape shape_of(const fb::ModelShapeT& table) {
  return {.layers = table.layers,
          .width = table.width,
          .query_heads = table.query_heads,
          .kv_heads = table.kv_heads,
          .head_width = table.head_width,
          .ffn_width = table.ffn_width,
          .vocabulary = table.vocabulary,
          .max_positions = table.max_positions};
}

template <typename T>
T unpack_or_default(const std::unique_ptr<T>& table) {
  return table ? *table : T();
}

}  // namespace

fb::ModelShapeT shape_table(const GraphShape& shape) {
  fb::ModelShapeT table;
  table.layers = static_cast<uint32_t>(shape.layers);
  table.width = static_cast<uint32_t>(shape.width);
  table.query_heads = static_cast<uint32_t>(shape.query_heads);
  table.kv_heads = static_cast<uint32_t>(shape.kv_heads);
  table.head_width = static_cast<uint32_t>(shape.head_width);
  table.ffn_width = static_cast<uint32_t>(shape.ffn_width);
  table.vocabulary = static_cast<uint32_t>(shape.vocabulary);
  table.max_positions = static_cast<uint32_t>(shape.max_positions);
  return table;
}

std::vector<std::string> required_features(const Graph& graph) {
  const auto is_wide = [&graph](ValueId value) { return graph.values[static_cast<size_t>(value)].bits == 16; };
  std::vector<std::string> features;
  if (std::ranges::any_of(
          graph.nodes, [&](const Node& node) { return node.kind == NodeKind::kLinear && is_wide(node.inputs[0]); })) {
    features.emplace_back(kFeatureWideInputs);
  }
  if (!graph.prefix.empty()) features.emplace_back(kFeaturePrefix);
  if (std::ranges::any_of(graph.nodes, [](const Node& node) { return node.key_bias != kNone; })) {
    features.emplace_back(kFeatureKeyBias);
  }
  return features;
}

fb::HarT har_meta(const Graph& graph, const std::vector<StoredParameter>& stored) {
  fb::HarT meta;
  meta.shape = std::make_unique<fb::ModelShapeT>(shape_table(graph.shape));
  for (const Value& value : graph.values) meta.values.push_back(value_table(value));
  for (size_t id = 0; id < graph.parameters.size(); id++) {
    meta.parameters.push_back(parameter_table(graph.parameters[id], stored[id]));
  }
  for (const Node& node : graph.nodes) meta.nodes.push_back(node_table(node));
  meta.tied_embeddings = graph.tied_embeddings;
  meta.passes = graph.passes;
  meta.required_features = required_features(graph);
  meta.prefix = graph.prefix;
  return meta;
}

Result<OptimisedModel> load_model(const HarFile& har) {
  const std::unique_ptr<fb::HarT> meta(har.meta().UnPack());
  OptimisedModel model;
  model.identity = unpack_or_default(meta->identity);
  model.quantisation = unpack_or_default(meta->quantisation);
  model.generation = unpack_or_default(meta->generation);
  model.graph.name = model.identity.name;
  model.graph.architecture = model.identity.architecture;
  model.graph.shape = shape_of(*meta->shape);
  model.graph.tied_embeddings = meta->tied_embeddings;
  model.graph.passes = meta->passes;
  model.graph.prefix = meta->prefix;
  for (const auto& value : meta->values) model.graph.values.push_back(value_of(*value));
  for (const auto& parameter : meta->parameters) {
    model.graph.parameters.push_back(parameter_of(*parameter));
    model.stored.push_back({parameter->packed, parameter->row_scale, parameter->row_sum, parameter->values});
  }
  for (const auto& node : meta->nodes) model.graph.nodes.push_back(node_of(*node));
  for (const auto& tensor : meta->tensors) model.tensors.push_back({tensor->name, tensor->layout, tensor->shape});
  TRY(verify(model.graph));
  for (const auto& adapter : meta->adapters) {
    model.adapters.push_back({*adapter, *har.container().section(SectionType::kAdapter, adapter->section)});
  }
  model.bytes = [&har](int tensor) { return har.tensor_bytes(tensor); };
  return model;
}

}  // namespace hotaru
