// The form of a layer's keys: as they are, less a static vector, or without their bias. The cheapest that keeps
// attention (QUANTISATION 3).
#include <algorithm>

#include "compiler/key_columns.h"
#include "compiler/key_form.h"
#include "compiler/layer_quantiser.h"

namespace hotaru {
namespace {

// Keys are shifted when that leaves at most this much of their range.
constexpr float kWorthShifting = 0.8F;
// Divergence of attention, in nats, that costs little. It is about half the square of the scores' noise.
constexpr double kMostDivergence = 0.00125;
// Keys are split from their bias when that leaves at most this much of the divergence.
constexpr double kWorthSplitting = 0.5;
// Rows on which forms are compared.
constexpr size_t kComparedTokens = 2048;

ParameterId add_vector(PassContext& context, std::string name, const std::vector<float>& values) {
  Parameter parameter;
  parameter.name = std::move(name);
  parameter.columns = static_cast<int64_t>(values.size());
  parameter.values.assign(values.begin(), values.end());
  const ParameterId id = context.graph->add_parameter(std::move(parameter));
  context.stored.resize(context.graph->parameters.size());
  return id;
}

}  // namespace

Result<KeyStatistics> LayerQuantiser::observe_keys(const Half& half, ValueId query) {
  KeyStatistics keys(static_cast<size_t>(value(key_).width));
  bool is_compared = true;
  const ValueHook observer = [&](ValueId id, std::span<float> rows) {
    if (id != query && id != key_) return;
    if (id == query) keys.add_queries(rows);
    if (id == key_) keys.add_keys(rows);
    std::vector<float>& some = id == query ? keys.query : keys.key;
    if (is_compared) some.insert(some.end(), rows.begin(), rows.end());
  };
  const size_t nodes = std::max(nodes_until(half, key_), nodes_until(half, query));
  size_t compared = 0;
  for (const TokenChunk& chunk : streams_->chunks) {
    is_compared = compared < kComparedTokens;
    TRY(play_device(half, nodes, chunk, observer));
    if (!is_compared) continue;
    compared += chunk.tokens;
    keys.lengths.insert(keys.lengths.end(), chunk.lengths.begin(), chunk.lengths.end());
  }
  return keys;
}

Result<void> LayerQuantiser::choose_key_form(const Half& half, const Block& block) {
  const Node& attention = *block.attention;
  const KeyHeads heads{static_cast<size_t>(attention.heads), static_cast<size_t>(attention.kv_heads),
                       static_cast<size_t>(attention.head_width)};
  TRY_ASSIGN(const KeyStatistics keys, observe_keys(half, attention.inputs[0]));
  const std::vector<float> shift = worthwhile_shift(keys);
  const double divergence = attention_divergence(keys, keys.key, shift, heads);
  if (divergence > kMostDivergence) {
    TRY_ASSIGN(const bool splits, split_keys(half, block, {&keys, divergence}));
    if (splits) return {};
  }
  if (!shift.empty()) shift_keys(block, keys, shift);
  return {};
}

// What to take from all keys; empty: nothing.
std::vector<float> LayerQuantiser::worthwhile_shift(const KeyStatistics& keys) const {
  if (is_skipped(*context_, "shift-keys") || keys.centred_reach() > kWorthShifting * keys.reach()) return {};
  return keys.midrange();
}

void LayerQuantiser::shift_keys(const Block& block, const KeyStatistics& keys, const std::vector<float>& shift) {
  note(fmt::format("layer {}: keys are shifted, their range shrinks from {:.3g} to {:.3g}", block.attention->layer,
                   keys.reach(), keys.centred_reach()));
  streams_->device.player.shift_keys(key_, shift);
  editable(*block.attention).key_shift = add_vector(*context_, block.attention->name + ".key_shift", shift);
}

// The bias leaves the keys, and stays out of them if that keeps attention.
Result<bool> LayerQuantiser::split_keys(const Half& half, const Block& block, const WholeKeys& whole) {
  const int layer = half.layer;
  const auto complain = [&](const char* why) {
    warn(fmt::format("layer {}: rounding keys makes attention diverge by {:.2g} nats (want {}); {}", layer,
                     whole.divergence, kMostDivergence, why));
    return false;
  };
  if (block.k->bias == kNone || block.k_norm != nullptr) return complain("they have no bias to split off");
  if (is_skipped(*context_, "split-key-bias")) return complain("split-key-bias is left out");
  Node& linear = editable(*block.k);
  Node& attention = editable(*block.attention);
  std::swap(linear.bias, attention.key_bias);
  TRY_ASSIGN(const KeyStatistics keys, observe_keys(half, attention.inputs[0]));
  const std::vector<float> shift = worthwhile_shift(keys);
  const double divergence =
      attention_divergence(keys, whole.keys->key, shift,
                           {static_cast<size_t>(attention.heads), static_cast<size_t>(attention.kv_heads),
                            static_cast<size_t>(attention.head_width)});
  if (divergence > kWorthSplitting * whole.divergence) {
    std::swap(linear.bias, attention.key_bias);
    return complain(fmt::format("splitting their bias off leaves {:.2g}", divergence).c_str());
  }
  note(fmt::format("layer {}: keys are split from their bias: attention diverges by {:.2g} nats instead of {:.2g}",
                   layer, divergence, whole.divergence));
  if (!shift.empty()) shift_keys(block, keys, shift);
  TRY(measure_key_bias(half, block));
  return true;
}

// The reach of the coefficients that queries have against the bias.
Result<void> LayerQuantiser::measure_key_bias(const Half& half, const Block& block) {
  Node& attention = editable(*block.attention);
  const auto width = static_cast<size_t>(value(key_).width);
  const Node& rope = *block.k_rope;
  const std::vector<double>& frequency = context_->graph->parameters[static_cast<size_t>(rope.frequency)].values;
  const KeyColumns columns =
      make_key_columns(frequency, static_cast<double>(rope.attention_factor), context_->graph->shape.max_positions);
  const float* bias = streams_->exact.weights.data(attention.key_bias);
  const std::vector<float> terms = bias_terms({bias, bias + width}, columns.codes);
  const ValueId query = attention.inputs[0];
  const ValueHook observer = [&](ValueId id, std::span<float> rows) {
    if (id != query) return;
    const float largest =
        largest_coefficient(rows, terms,
                            {static_cast<size_t>(attention.heads), static_cast<size_t>(attention.kv_heads),
                             static_cast<size_t>(attention.head_width)});
    attention.key_bias_reach = std::max(attention.key_bias_reach, largest);
  };
  const size_t nodes = nodes_until(half, query);
  for (const TokenChunk& chunk : streams_->chunks) TRY(play_device(half, nodes, chunk, observer));
  return {};
}

}  // namespace hotaru
