#include "model/decoder.h"

#include <fmt/format.h>

#include <utility>

namespace hotaru {
namespace {

class DecoderBuilder {
 public:
  DecoderBuilder(const ModelConfig& config, const TensorNames& names) : config_(config), names_(names) {}

  Graph build(const std::string& name) {
    graph_.name = name;
    graph_.architecture = config_.architecture;
    graph_.shape = {.layers = config_.layers,
                    .width = config_.width,
                    .query_heads = config_.query_heads,
                    .kv_heads = config_.kv_heads,
                    .head_width = config_.head_width,
                    .ffn_width = config_.ffn_width,
                    .vocabulary = config_.vocabulary,
                    .max_positions = config_.max_positions};
    graph_.tied_embeddings = config_.tied_embeddings;
    ValueId residual = embed();
    frequency_ = rope_frequency();
    for (layer_ = 0; layer_ < config_.layers; layer_++) residual = ffn(attention(residual));
    head(residual);
    return std::move(graph_);
  }

 private:
  // x + o(attention(rope(q), rope(k), v)) of norm1(x)
  ValueId attention(ValueId residual) {
    const ValueId input = norm(in_layer("norm1"), residual, layer_source("input_layernorm"));
    const int64_t width = config_.query_heads * config_.head_width;
    const int64_t kv_width = config_.kv_heads * config_.head_width;
    const ValueId q = linear("q", input, {"self_attn.q_proj", width, config_.attention_bias});
    const ValueId k = linear("k", input, {"self_attn.k_proj", kv_width, config_.attention_bias});
    const ValueId v = linear("v", input, {"self_attn.v_proj", kv_width, config_.attention_bias});
    const ValueId query = rotate("q", q, static_cast<int>(config_.query_heads));
    const ValueId key = rotate("k", k, static_cast<int>(config_.kv_heads));
    graph_.values[static_cast<size_t>(query)].is_symmetric = true;
    Node& node = add(NodeKind::kAttention, in_layer("attention"), {query, key, v}, width);
    node.heads = static_cast<int>(config_.query_heads);
    node.kv_heads = static_cast<int>(config_.kv_heads);
    node.head_width = static_cast<int>(config_.head_width);
    const ValueId mixed = node.output;
    const ValueId output = linear("o", mixed, {"self_attn.o_proj", config_.width, config_.output_bias});
    return add(NodeKind::kAdd, in_layer("residual1"), {residual, output}, config_.width).output;
  }

  // x + down(silu(gate) * up) of norm2(x)
  ValueId ffn(ValueId residual) {
    const ValueId input = norm(in_layer("norm2"), residual, layer_source("post_attention_layernorm"));
    const ValueId gate = linear("gate", input, {"mlp.gate_proj", config_.ffn_width, config_.mlp_bias});
    const ValueId up = linear("up", input, {"mlp.up_proj", config_.ffn_width, config_.mlp_bias});
    const ValueId product = add(NodeKind::kSwiGlu, in_layer("swiglu"), {gate, up}, config_.ffn_width).output;
    const ValueId down = linear("down", product, {"mlp.down_proj", config_.width, config_.mlp_bias});
    return add(NodeKind::kAdd, in_layer("residual2"), {residual, down}, config_.width).output;
  }

  ValueId embed() {
    layer_ = -1;
    embedding_ = matrix("embedding.weight", names_.embedding, {config_.vocabulary, config_.width});
    Node& node = add(NodeKind::kEmbed, "embedding", {}, config_.width);
    node.weight = embedding_;
    return node.output;
  }

  void head(ValueId residual) {
    const ValueId input = norm("norm", residual, names_.prefix + "norm.weight");
    const ParameterId weight = config_.tied_embeddings
                                   ? embedding_
                                   : matrix("head.weight", "lm_head.weight", {config_.vocabulary, config_.width});
    add(NodeKind::kLinear, "head", {input}, config_.vocabulary).weight = weight;
  }

  ValueId norm(const std::string& name, ValueId input, const std::string& source) {
    const ParameterId gamma = vector(name + ".weight", source, config_.width);
    Node& node = add(NodeKind::kRmsNorm, name, {input}, config_.width);
    node.weight = gamma;
    node.epsilon = config_.norm_epsilon;
    return node.output;
  }

  struct Linear {
    const char* source;
    int64_t width;
    bool has_bias;
  };
  ValueId linear(const char* short_name, ValueId input, const Linear& wanted) {
    const std::string name = in_layer(short_name);
    const int64_t input_width = graph_.values[static_cast<size_t>(input)].width;
    const ParameterId weight = matrix(name + ".weight", layer_source(wanted.source), {wanted.width, input_width});
    ParameterId bias = kNone;
    if (wanted.has_bias) bias = vector(name + ".bias", layer_source(wanted.source, "bias"), wanted.width);
    Node& node = add(NodeKind::kLinear, name, {input}, wanted.width);
    node.weight = weight;
    node.bias = bias;
    return node.output;
  }

  // Queries or keys: normed per head where the family does so, then rotated by their position.
  ValueId rotate(const std::string& short_name, ValueId input, int heads) {
    if (config_.head_norm) {
      const std::string name = in_layer(short_name + "_norm");
      const ParameterId gamma =
          vector(name + ".weight", layer_source("self_attn." + short_name + "_norm"), config_.head_width);
      Node& node = add_per_head(NodeKind::kHeadNorm, name, input, heads);
      node.weight = gamma;
      node.epsilon = config_.norm_epsilon;
      input = node.output;
    }
    Node& node = add_per_head(NodeKind::kRope, in_layer(short_name + "_rope"), input, heads);
    node.frequency = frequency_;
    return node.output;
  }

  Node& add_per_head(NodeKind kind, const std::string& name, ValueId input, int heads) {
    Node& node = add(kind, name, {input}, int64_t{heads} * config_.head_width);
    node.heads = heads;
    node.head_width = static_cast<int>(config_.head_width);
    return node;
  }

  Node& add(NodeKind kind, const std::string& name, std::vector<ValueId> inputs, int64_t width) {
    Node node;
    node.kind = kind;
    node.name = name;
    node.layer = static_cast<int>(layer_);
    node.inputs = std::move(inputs);
    node.output = graph_.add_value(name, width);
    return graph_.add_node(std::move(node));
  }

  struct Shape {
    int64_t rows, columns;
  };
  ParameterId matrix(const std::string& name, const std::string& source, Shape shape) {
    Parameter parameter;
    parameter.name = name;
    parameter.source = source;
    parameter.rows = shape.rows;
    parameter.columns = shape.columns;
    return graph_.add_parameter(std::move(parameter));
  }
  ParameterId vector(const std::string& name, const std::string& source, int64_t width) {
    return matrix(name, source, {1, width});
  }

  ParameterId rope_frequency() {
    Parameter parameter;
    parameter.name = "rope.frequency";
    parameter.columns = config_.head_width / 2;
    parameter.values = rope_inverse_frequencies(config_.rope, config_.head_width);
    return graph_.add_parameter(std::move(parameter));
  }

  [[nodiscard]] std::string in_layer(std::string_view name) const { return fmt::format("layers.{}.{}", layer_, name); }
  [[nodiscard]] std::string layer_source(std::string_view name, std::string_view kind = "weight") const {
    return fmt::format("{}layers.{}.{}.{}", names_.prefix, layer_, name, kind);
  }

  const ModelConfig& config_;
  const TensorNames& names_;
  Graph graph_;
  int64_t layer_ = -1;  // of the nodes being added
  ParameterId embedding_ = kNone;
  ParameterId frequency_ = kNone;
};

}  // namespace

Graph build_decoder(const ModelConfig& config, const std::string& name, const TensorNames& names) {
  return DecoderBuilder(config, names).build(name);
}

}  // namespace hotaru
