#include "compiler/float_nodes.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/memory.h"
#include "compiler/float_ops.h"

namespace hotaru {
namespace {

// Rows a task takes of row-by-row work.
constexpr size_t kRowsPerTask = 64;
constexpr size_t kChunkTokens = 2048;

size_t at_index(int id) { return static_cast<size_t>(id); }

}  // namespace

std::vector<TokenChunk> cut_chunks(std::span<const int64_t> lengths, std::span<const int64_t> shared) {
  std::vector<TokenChunk> chunks;
  size_t begin = 0;
  size_t first_segment = 0;
  size_t tokens = 0;
  for (size_t i = 0; i < lengths.size(); i++) {
    tokens += static_cast<size_t>(lengths[i]);
    const bool is_last = i + 1 == lengths.size();
    const bool is_followed = !is_last && !shared.empty() && shared[i + 1] > 0;
    if ((tokens < kChunkTokens && !is_last) || is_followed) continue;
    const size_t segments = i + 1 - first_segment;
    chunks.push_back({begin, tokens, lengths.subspan(first_segment, segments),
                      shared.empty() ? shared : shared.subspan(first_segment, segments)});
    begin += tokens;
    first_segment = i + 1;
    tokens = 0;
  }
  return chunks;
}

void RotationTable::cover(std::span<const double> frequency, size_t positions) {
  half_ = frequency.size();
  for (size_t position = cosine_.size() / half_; position < positions; position++) {
    for (const double one : frequency) {
      const double angle = one * static_cast<double>(position);
      cosine_.push_back(static_cast<float>(std::cos(angle)));
      sine_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

NodePlayer::NodePlayer(const Graph* graph, const FloatWeights* weights, ThreadPool* pool)
    : graph_(graph),
      weights_(weights),
      pool_(pool),
      rotations_(graph->parameters.size()),
      values_(graph->values.size()),
      buffers_(graph->values.size()) {}

void NodePlayer::cover_positions(size_t positions) {
  for (const Node& node : graph_->nodes) {
    if (node.kind != NodeKind::kRope) continue;
    rotations_[at_index(node.frequency)].cover(graph_->parameters[at_index(node.frequency)].values,
                                               graph_->prefix.size() + positions);
  }
}

std::span<const float> NodePlayer::play(std::span<const Node> nodes, const TokenChunk& chunk,
                                        std::span<const float> input, const ValueHook& hook, const KnownValue& known) {
  for (size_t i = 0; i < values_.size(); i++) {
    values_[i] = {};
    if (!buffers_[i].empty()) free_buffers_.push_back(std::move(buffers_[i]));
    buffers_[i].clear();
  }
  positions_.clear();
  for (size_t segment = 0; segment < chunk.lengths.size(); segment++) {
    const size_t before = chunk.shared.empty() ? 0 : static_cast<size_t>(chunk.shared[segment]);
    for (size_t i = 0; i < static_cast<size_t>(chunk.lengths[segment]); i++) {
      positions_.push_back(graph_->prefix.size() + before + i);
    }
  }
  if (known.value != kNone) values_[at_index(known.value)] = known.rows;
  // Whatever no node here has made by the time it is used comes from outside.
  ValueId outside = kNone;
  for (size_t i = 0; i < nodes.size(); i++) {
    for (const ValueId value : nodes[i].inputs) {
      if (!values_[at_index(value)].empty()) continue;
      CHECK_EQ(outside, kNone);
      outside = value;
      values_[at_index(value)] = input;
    }
    take_buffer(nodes[i].output, chunk.tokens);
    play_node(nodes[i], chunk);
    if (nodes[i].output == shifted_key_) {
      take_shift_from(std::span(buffers_[at_index(shifted_key_)]).first(values_[at_index(shifted_key_)].size()));
    }
    keep_bias_query(nodes, i);
    if (hook) {
      hook(nodes[i].output,
           std::span(buffers_[at_index(nodes[i].output)]).first(values_[at_index(nodes[i].output)].size()));
    }
    give_back_after(nodes, i);
  }
  return values_[at_index(nodes.back().output)];
}

void NodePlayer::shift_keys(ValueId key, std::vector<float> shift) {
  shifted_key_ = key;
  key_shift_ = std::move(shift);
}

void NodePlayer::take_shift_from(std::span<float> keys) const {
  for (size_t i = 0; i < keys.size(); i++) keys[i] -= key_shift_[i % key_shift_.size()];
}

void NodePlayer::release() {
  for (size_t i = 0; i < values_.size(); i++) {
    values_[i] = {};
    give_memory_back(buffers_[i]);
  }
  free_buffers_.clear();
  give_memory_back(bias_query_);
  give_memory_back(bias_key_);
}

void NodePlayer::play_node(const Node& node, const TokenChunk& chunk) {
  float* output = buffers_[at_index(node.output)].data();
  if (node.kind == NodeKind::kLinear) {
    const auto width = static_cast<size_t>(graph_->values[at_index(node.inputs[0])].width);
    float_linear(*pool_, {.x = values_[at_index(node.inputs[0])].data(),
                          .w = weights_->data(node.weight),
                          .bias = weights_->data(node.bias),
                          .y = output,
                          .rows = chunk.tokens,
                          .n = static_cast<size_t>(graph_->values[at_index(node.output)].width),
                          .k = width});
    return;
  }
  if (node.kind == NodeKind::kAttention) return play_attention(node, chunk, output);
  play_rows(node, chunk);
}

void NodePlayer::play_attention(const Node& node, const TokenChunk& chunk, float* output) {
  FloatAttention attention{.query = values_[at_index(node.inputs[0])].data(),
                           .key = values_[at_index(node.inputs[1])].data(),
                           .value = values_[at_index(node.inputs[2])].data(),
                           .output = output,
                           .heads = at_index(node.heads),
                           .kv_heads = at_index(node.kv_heads),
                           .head_width = at_index(node.head_width),
                           .prefix_tokens = node.prefix_key == kNone ? 0 : graph_->prefix.size(),
                           .prefix_key = weights_->data(node.prefix_key),
                           .prefix_value = weights_->data(node.prefix_value)};
  if (node.key_bias != kNone) {
    turn_key_bias(node, chunk);
    attention.bias_query = bias_query_.data();
    attention.bias_key = bias_key_.data();
    attention.prefix_bias_key = prefix_bias_key_.data();
  }
  if (attention.prefix_tokens > 0) {
    move_prefix_keys(node);
    attention.prefix_key = prefix_key_.data();
  }
  float_attention(*pool_, attention, chunk.lengths, chunk.shared);
}

// Queries meet a bias that was kept out of the keys before they are rounded.
void NodePlayer::keep_bias_query(std::span<const Node> nodes, size_t index) {
  const ValueId made = nodes[index].output;
  const bool is_bias_query = std::ranges::any_of(nodes.subspan(index + 1), [made](const Node& node) {
    return node.kind == NodeKind::kAttention && node.key_bias != kNone && node.inputs[0] == made;
  });
  if (!is_bias_query) return;
  const std::span<const float> query = values_[at_index(made)];
  bias_query_.assign(query.begin(), query.end());
}

// prefix_key_ = the prefix tokens' keys, less what the node's other keys lack.
void NodePlayer::move_prefix_keys(const Node& node) {
  const float* keys = weights_->data(node.prefix_key);
  prefix_key_.assign(keys, keys + graph_->prefix.size() * at_index(node.kv_heads) * at_index(node.head_width));
  if (node.key_bias != kNone) {
    for (size_t i = 0; i < prefix_key_.size(); i++) prefix_key_[i] -= prefix_bias_key_[i];
  }
  if (node.inputs[1] == shifted_key_) take_shift_from(prefix_key_);
}

// bias_key_, prefix_bias_key_ = the bias that was kept out of the node's keys, turned to each position.
void NodePlayer::turn_key_bias(const Node& node, const TokenChunk& chunk) {
  const auto rope = std::ranges::find(graph_->nodes, node.inputs[1], &Node::output);
  CHECK(rope != graph_->nodes.end() && rope->kind == NodeKind::kRope);
  const RotationTable& table = rotations_[at_index(rope->frequency)];
  const auto width = static_cast<size_t>(graph_->values[at_index(node.inputs[1])].width);
  const std::span<const float> bias(weights_->data(node.key_bias), width);
  const auto turn = [&](size_t position, float* to) {
    rope_row({table.cosine(position), table.sine(position), at_index(node.head_width)}, bias, to);
  };
  bias_key_.resize(chunk.tokens * width);
  for (size_t row = 0; row < chunk.tokens; row++) turn(positions_[row], bias_key_.data() + row * width);
  if (node.prefix_key == kNone) return;
  prefix_bias_key_.resize(graph_->prefix.size() * width);
  for (size_t i = 0; i < graph_->prefix.size(); i++) turn(i, prefix_bias_key_.data() + i * width);
}

void NodePlayer::play_rows(const Node& node, const TokenChunk& chunk) {
  const auto width = static_cast<size_t>(graph_->values[at_index(node.output)].width);
  float* output = buffers_[at_index(node.output)].data();
  for_each_task(*pool_, (chunk.tokens + kRowsPerTask - 1) / kRowsPerTask, [&](size_t task, int) {
    const size_t end = std::min(chunk.tokens, (task + 1) * kRowsPerTask);
    for (size_t row = task * kRowsPerTask; row < end; row++) play_row(node, row, output + row * width);
  });
}

void NodePlayer::play_row(const Node& node, size_t row, float* output) {
  const std::span<const float> x = row_of(node.inputs[0], row);
  switch (node.kind) {
    case NodeKind::kRmsNorm:
      return rms_norm_row({weights_->data(node.weight), node.epsilon}, x, output);
    case NodeKind::kHeadNorm: {
      const size_t width = at_index(node.head_width);
      for (size_t head = 0; head < x.size(); head += width) {
        rms_norm_row({weights_->data(node.weight), node.epsilon}, x.subspan(head, width), output + head);
      }
      return;
    }
    case NodeKind::kRope: {
      const RotationTable& table = rotations_[at_index(node.frequency)];
      const size_t position = positions_[row];
      return rope_row({table.cosine(position), table.sine(position), at_index(node.head_width)}, x, output);
    }
    case NodeKind::kSwiGlu:
      return swiglu_row(x, row_of(node.inputs[1], row), output);
    case NodeKind::kAdd: {
      const std::span<const float> other = row_of(node.inputs[1], row);
      for (size_t i = 0; i < x.size(); i++) output[i] = x[i] + other[i];
      return;
    }
    default:
      CHECK(false);
  }
}

std::span<const float> NodePlayer::row_of(ValueId value, size_t row) const {
  const auto width = static_cast<size_t>(graph_->values[at_index(value)].width);
  return values_[at_index(value)].subspan(row * width, width);
}

// Buffers are used again and again: fresh pages from the system would cost more than the row-by-row work.
void NodePlayer::take_buffer(ValueId value, size_t tokens) {
  const size_t size = tokens * static_cast<size_t>(graph_->values[at_index(value)].width);
  std::vector<float>& buffer = buffers_[at_index(value)];
  if (!free_buffers_.empty()) {
    const auto fitting = std::find_if(free_buffers_.begin(), free_buffers_.end() - 1,
                                      [size](const std::vector<float>& free) { return free.size() >= size; });
    buffer = std::move(*fitting);
    free_buffers_.erase(fitting);
  }
  if (buffer.size() < size) buffer.resize(size);
  values_[at_index(value)] = std::span(buffer).first(size);
}

void NodePlayer::give_back_after(std::span<const Node> nodes, size_t index) {
  for (const ValueId value : nodes[index].inputs) {
    const auto uses = [value](const Node& node) {
      return std::find(node.inputs.begin(), node.inputs.end(), value) != node.inputs.end();
    };
    const auto later = nodes.subspan(index + 1);
    if (buffers_[at_index(value)].empty() || std::any_of(later.begin(), later.end(), uses)) continue;
    values_[at_index(value)] = {};
    free_buffers_.push_back(std::move(buffers_[at_index(value)]));
    buffers_[at_index(value)].clear();
  }
}

}  // namespace hotaru
