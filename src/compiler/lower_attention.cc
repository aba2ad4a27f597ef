#include "compiler/lower_attention.h"

#include <algorithm>
#include <cmath>

#include "compiler/float_ops.h"
#include "kernels/attention/attention.h"

namespace hotaru {
namespace {

constexpr double kMostCode = 32767;

// Constants [tokens, G, E] as s16 codes with one scale per kv head.
struct Constants {
  std::vector<int16_t> codes;
  std::vector<float> scale;  // [G]
};

struct ConstantShape {
  size_t tokens, kv_heads, head_width;
};

Constants quantise_constants(const std::vector<double>& values, const ConstantShape& shape) {
  Constants constants;
  constants.scale.assign(shape.kv_heads, 0);
  const auto head_of = [&shape](size_t i) { return i / shape.head_width % shape.kv_heads; };
  for (size_t i = 0; i < values.size(); i++) {
    float& scale = constants.scale[head_of(i)];
    scale = std::max(scale, static_cast<float>(std::abs(values[i]) / kMostCode));
  }
  for (float& scale : constants.scale) scale = scale > 0 ? scale : 1.0F;
  for (size_t i = 0; i < values.size(); i++) {
    const double code = std::nearbyint(values[i] / static_cast<double>(constants.scale[head_of(i)]));
    constants.codes.push_back(static_cast<int16_t>(std::clamp(code, -kMostCode, kMostCode)));
  }
  return constants;
}

// The step of a query's 16-bit coefficients: what calibration saw, and a quarter more.
float coefficient_step(const Node& attention) {
  constexpr float kMargin = 1.25F;
  return attention.key_bias_reach > 0 ? attention.key_bias_reach * kMargin / kMostSignedCode : 1.0F;
}

}  // namespace

Result<fb::RopeCallT> AttentionLowering::rope(const std::string& name, const Block& block) {
  fb::RopeCallT call;
  if (block.q_rope->frequency != block.k_rope->frequency ||
      block.q_rope->attention_factor != block.k_rope->attention_factor) {
    return not_supported("'{}': queries and keys rotate differently", name);
  }
  TRY_ASSIGN(call.frequency, tensors_.values(block.q_rope->frequency, fb::Layout::F64));
  call.attention_factor = block.q_rope->attention_factor;
  TRY(add_norms(name, block, call));
  TRY_ASSIGN(call.key_shift, tensors_.values(block.attention->key_shift, fb::Layout::F32));
  TRY(add_rope_scales(name, block, call));
  TRY(add_split(name, block, call));
  return call;
}

Result<void> AttentionLowering::add_norms(const std::string& name, const Block& block, fb::RopeCallT& call) {
  if ((block.q_norm == nullptr) != (block.k_norm == nullptr) ||
      (block.q_norm != nullptr && block.q_norm->epsilon != block.k_norm->epsilon)) {
    return not_supported("'{}': queries and keys are normed differently", name);
  }
  if (block.q_norm == nullptr) return {};
  TRY_ASSIGN(call.query_gamma, tensors_.values(block.q_norm->weight, fb::Layout::F32));
  TRY_ASSIGN(call.key_gamma, tensors_.values(block.k_norm->weight, fb::Layout::F32));
  call.epsilon = block.q_norm->epsilon;
  return {};
}

Result<void> AttentionLowering::add_rope_scales(const std::string& name, const Block& block, fb::RopeCallT& call) {
  std::vector<float> query_inverse, key_inverse, key_zero, value_inverse, value_zero;
  for (size_t h = 0; h < query_heads(); h++) {
    TRY_ASSIGN(const StaticRange query, tensors_.range(block.attention->inputs[0], h));
    query_inverse.push_back(1.0F / query.scale);
  }
  for (size_t g = 0; g < kv_heads(); g++) {
    TRY_ASSIGN(const StaticRange key, tensors_.range(block.attention->inputs[1], g));
    TRY_ASSIGN(const StaticRange value, tensors_.range(block.attention->inputs[2], g));
    key_inverse.push_back(1.0F / key.scale);
    key_zero.push_back(static_cast<float>(key.zero_point));
    value_inverse.push_back(1.0F / value.scale);
    value_zero.push_back(static_cast<float>(value.zero_point - 128));  // values are stored as s8
  }
  call.query_inverse_scale = tensors_.add(name + ".query_inverse_scale", query_inverse);
  call.key_inverse_scale = tensors_.add(name + ".key_inverse_scale", key_inverse);
  call.key_zero_point = tensors_.add(name + ".key_zero_point", key_zero);
  call.value_inverse_scale = tensors_.add(name + ".value_inverse_scale", value_inverse);
  call.value_zero_point = tensors_.add(name + ".value_zero_point", value_zero);
  return {};
}

Result<float> AttentionLowering::score_scale(const Node& node, size_t head, float key_scale) const {
  TRY_ASSIGN(const StaticRange query, tensors_.range(node.inputs[0], head));
  const double scale = static_cast<double>(query.scale) * static_cast<double>(key_scale) * M_LOG2E;
  return static_cast<float>(scale / std::sqrt(static_cast<double>(node.head_width)));
}

Result<fb::AttentionCallT> AttentionLowering::attention(const Block& block) {
  const Node& node = *block.attention;
  fb::AttentionCallT call;
  TRY_ASSIGN(const StaticRange output, tensors_.wide_range(node.output));
  std::vector<float> score_scales, value_scale;
  std::vector<int32_t> value_zero;
  const size_t group = query_heads() / kv_heads();
  for (size_t h = 0; h < query_heads(); h++) {
    TRY_ASSIGN(const StaticRange key, tensors_.range(node.inputs[1], h / group));
    TRY_ASSIGN(const float scale, score_scale(node, h, key.scale));
    score_scales.push_back(scale);
  }
  for (size_t g = 0; g < kv_heads(); g++) {
    TRY_ASSIGN(const StaticRange value, tensors_.range(node.inputs[2], g));
    value_scale.push_back(value.scale);
    value_zero.push_back(value.zero_point - 128);
  }
  call.score_scale = tensors_.add(node.name + ".score_scale", score_scales);
  call.value_scale = tensors_.add(node.name + ".value_scale", value_scale);
  call.value_zero_point = tensors_.add(node.name + ".value_zero_point", value_zero);
  call.output_bits = static_cast<uint8_t>(tensors_.bits(node.output));
  call.output_inverse_scale = 1.0F / output.scale;
  call.output_zero_point = static_cast<float>(output.zero_point);
  TRY(add_split(block, call));
  TRY(add_prefix(block, call));
  return call;
}

Result<std::vector<double>> AttentionLowering::moved_prefix_keys(const Block& block) {
  const Node& node = *block.attention;
  TRY_ASSIGN(const std::vector<float> key, tensors_.floats(node.prefix_key));
  std::vector<double> moved(key.begin(), key.end());
  const size_t width = kv_heads() * head_width();
  if (node.key_shift != kNone) {
    TRY_ASSIGN(const std::vector<float> shift, tensors_.floats(node.key_shift));
    for (size_t i = 0; i < moved.size(); i++) moved[i] -= static_cast<double>(shift[i % width]);
  }
  if (node.key_bias != kNone) {
    TRY_ASSIGN(const std::vector<float> bias, tensors_.floats(node.key_bias));
    TRY_ASSIGN(const SplitColumns* split, columns_of(*block.k_rope));
    std::vector<float> turned(width);
    for (size_t i = 0; i < moved.size(); i++) {
      const size_t angles = i / width * split->columns.half;
      const Rotation rotation{split->columns.cosine.data() + angles, split->columns.sine.data() + angles, head_width()};
      if (i % width == 0) rope_row(rotation, bias, turned.data());
      moved[i] -= static_cast<double>(turned[i % width]);
    }
  }
  for (size_t i = 0; i < moved.size(); i++) {
    TRY_ASSIGN(const StaticRange range, tensors_.range(node.inputs[1], i / head_width() % kv_heads()));
    moved[i] += static_cast<double>(range.scale) * range.zero_point;
  }
  return moved;
}

// kernels/attention/attention.h says what is in the keys.
Result<void> AttentionLowering::add_prefix(const Block& block, fb::AttentionCallT& call) {
  const Node& node = *block.attention;
  const ConstantShape shape{graph_.prefix.size(), kv_heads(), head_width()};
  if (shape.tokens == 0) return {};
  if (node.prefix_key == kNone) return invalid("'{}' has no constants of the prefix tokens", node.name);
  if (shape.head_width > kMaxPrefixHeadWidth) {
    return not_supported("'{}': prefix tokens with heads of {}, want at most {}", node.name, shape.head_width,
                         kMaxPrefixHeadWidth);
  }
  TRY_ASSIGN(const std::vector<float> value, tensors_.floats(node.prefix_value));
  TRY_ASSIGN(const std::vector<double> moved, moved_prefix_keys(block));
  const Constants keys = quantise_constants(moved, shape);
  const Constants values = quantise_constants({value.begin(), value.end()}, shape);
  std::vector<float> score_scales;
  for (size_t h = 0; h < query_heads(); h++) {
    TRY_ASSIGN(const float scale, score_scale(node, h, keys.scale[h / (query_heads() / kv_heads())]));
    score_scales.push_back(scale);
  }
  const std::vector<uint64_t> extents = {shape.tokens, shape.kv_heads, shape.head_width};
  call.prefix_key = tensors_.add(node.name + ".prefix_key", extents, keys.codes);
  call.prefix_value = tensors_.add(node.name + ".prefix_value", extents, values.codes);
  call.prefix_score_scale = tensors_.add(node.name + ".prefix_score_scale", score_scales);
  call.prefix_value_scale = tensors_.add(node.name + ".prefix_value_scale", values.scale);
  return {};
}

Result<const AttentionLowering::SplitColumns*> AttentionLowering::columns_of(const Node& rope) {
  const auto [place, is_new] = split_columns_.try_emplace({rope.frequency, rope.attention_factor});
  SplitColumns& split = place->second;
  if (!is_new) return &split;
  TRY_ASSIGN(const std::vector<double> frequency, tensors_.doubles(rope.frequency));
  split.columns = make_key_columns(frequency, static_cast<double>(rope.attention_factor), graph_.shape.max_positions);
  std::vector<float> constants = split.columns.codes.scale;
  constants.insert(constants.end(), split.columns.codes.offset.begin(), split.columns.codes.offset.end());
  split.constants = tensors_.add("key_constants", constants);
  return &split;
}

Result<void> AttentionLowering::add_split(const std::string& name, const Block& block, fb::RopeCallT& call) {
  if (block.attention->key_bias == kNone) return {};
  TRY_ASSIGN(const std::vector<float> bias, tensors_.floats(block.attention->key_bias));
  TRY_ASSIGN(const SplitColumns* split, columns_of(*block.k_rope));
  call.bias_terms = tensors_.add(name + ".bias_terms", bias_terms(bias, split->columns.codes));
  const std::vector<float> inverse(query_heads(), 1.0F / coefficient_step(*block.attention));
  call.bias_inverse_scale = tensors_.add(name + ".bias_inverse_scale", inverse);
  return {};
}

Result<void> AttentionLowering::add_split(const Block& block, fb::AttentionCallT& call) {
  const Node& node = *block.attention;
  if (node.key_bias == kNone) return {};
  if (head_width() > kMaxSplitHeadWidth) {
    return not_supported("'{}': keys split from their bias with heads of {}, want at most {}", node.name, head_width(),
                         kMaxSplitHeadWidth);
  }
  TRY_ASSIGN(const SplitColumns* split, columns_of(*block.k_rope));
  call.key_constants = split->constants;
  TRY_ASSIGN(call.frequency, tensors_.values(block.k_rope->frequency, fb::Layout::F64));
  call.attention_factor = block.k_rope->attention_factor;
  const double scale = static_cast<double>(coefficient_step(node)) * 256 * M_LOG2E;
  const auto per_head = static_cast<float>(scale / std::sqrt(static_cast<double>(node.head_width)));
  call.bias_scale = tensors_.add(node.name + ".bias_scale", std::vector<float>(query_heads(), per_head));
  return {};
}

}  // namespace hotaru
