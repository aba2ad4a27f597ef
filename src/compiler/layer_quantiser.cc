#include "compiler/layer_quantiser.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <utility>

#include "base/log.h"
#include "compiler/store_parameters.h"

namespace hotaru {
namespace {

// One token in eight tells how well a fit does on what it has not seen.
constexpr size_t kHeldOutShare = 8;
// Ranges are measured on about this many tokens, moments on this many for each input: more changes little.
constexpr size_t kRangeTokens = 32768;
constexpr size_t kMomentTokensAtLeast = 32768;
constexpr size_t kMomentTokensPerInput = 4;
// Below this an input takes 16 bits. GPTQ leaves the weights of down_proj 22 to 28 dB, but their error is the same for
// every token, while an input's comes anew with each: it is what hides a mild adapter (docs/accuracy.md).
constexpr double kLeastInputSqnr = 26;

// Every so many chunks one is enough for `wanted` tokens.
size_t stride_for(const std::vector<TokenChunk>& chunks, size_t wanted) {
  size_t tokens = 0;
  for (const TokenChunk& chunk : chunks) tokens += chunk.tokens;
  return std::max<size_t>(1, tokens / wanted);
}

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

}  // namespace

Result<void> LayerQuantiser::run(int layer) {
  TRY_ASSIGN(const Block block, match_block(*context_->graph, layer));
  const Graph::Range range = context_->graph->layer_nodes(layer);
  const std::span<const Node> nodes = std::span(context_->graph->nodes).subspan(range.begin, range.end - range.begin);
  TRY(streams_->exact.weights.load(nodes));
  TRY(streams_->device.weights.load(nodes));
  const Half attention = half_of(*block.norm1, *(block.norm2 - 1), layer);
  const Half ffn = half_of(*block.norm2, nodes.back(), layer);
  TRY(quantise_attention(attention, block));
  TRY(advance(attention));
  TRY(quantise_ffn(ffn, block));
  TRY(advance(ffn));
  for (const Node& node : nodes) TRY(store_vectors(*context_, node));
  streams_->exact.weights.release();
  streams_->device.weights.release();
  return {};
}

Result<void> LayerQuantiser::run_head() {
  TRY_ASSIGN(const Ends ends, match_ends(*context_->graph));
  const auto layers = static_cast<int>(context_->graph->shape.layers);
  TRY(streams_->device.weights.load(std::span(ends.norm, 1)));
  const Half half = half_of(*ends.norm, *ends.norm, layers);
  TRY(choose_ranges(half, {ends.norm->output}));
  for (const Node& node : context_->graph->nodes) {
    if (node.layer != -1 && node.layer != layers) continue;
    if (node.kind == NodeKind::kLinear || node.kind == NodeKind::kEmbed) TRY(store_int8_matrix(*context_, node));
    TRY(store_vectors(*context_, node));
  }
  return {};
}

LayerQuantiser::Half LayerQuantiser::half_of(const Node& first, const Node& last, int layer) const {
  return {std::span(&first, static_cast<size_t>(&last - &first) + 1), layer};
}

Result<void> LayerQuantiser::quantise_attention(const Half& half, const Block& block) {
  key_ = block.attention->inputs[1];
  key_shift_.clear();
  TRY(choose_ranges(half, {block.norm1->output}));
  TRY(quantise_linears(half, {block.q, block.k, block.v}));
  TRY(choose_key_form(half, block));
  value(block.attention->inputs[0]).is_symmetric = true;
  TRY(choose_ranges(half, block.attention->inputs));
  TRY(choose_ranges(half, {block.attention->output}));
  return quantise_linears(half, {block.o});
}

Result<void> LayerQuantiser::quantise_ffn(const Half& half, const Block& block) {
  TRY(choose_ranges(half, {block.norm2->output}));
  TRY(quantise_linears(half, {block.gate, block.up}));
  TRY(choose_ranges(half, {block.swiglu->output}));
  return quantise_linears(half, {block.down});
}

size_t LayerQuantiser::nodes_until(const Half& half, ValueId value) const {
  size_t count = 0;
  while (half.nodes[count].output != value) count++;
  return count + 1;
}

// Plays the half's first nodes as the device does. `observer` sees every value before it is rounded.
Result<std::span<const float>> LayerQuantiser::play_device(const Half& half, size_t count, const TokenChunk& chunk,
                                                           const ValueHook& observer) {
  TRY(streams_->device.read(chunk, input_rows_));
  bool is_finite = true;
  const ValueHook hook = [&](ValueId id, std::span<float> rows) {
    if (id == key_ && !key_shift_.empty()) {
      for (size_t i = 0; i < rows.size(); i++) rows[i] -= key_shift_[i % key_shift_.size()];
    }
    is_finite = is_finite && all_finite(rows);
    if (observer && is_finite) observer(id, rows);
    round_to_range(value(id), rows);
  };
  const auto output = streams_->device.player.play(half.nodes.first(count), chunk, input_rows_, hook);
  if (is_finite) return output;
  return invalid("layer {}: the model gives a NaN or an infinity on the calibration text", half.layer);
}

size_t LayerQuantiser::range_stride() const { return stride_for(streams_->chunks, kRangeTokens); }

Result<void> LayerQuantiser::choose_ranges(const Half& half, const std::vector<ValueId>& values) {
  std::map<ValueId, Histogram> histograms;
  std::map<ValueId, std::vector<uint32_t>> weights;
  size_t count = 0;
  for (const ValueId id : values) {
    histograms[id];
    weights[id] = channel_weights(half, id);
    count = std::max(count, nodes_until(half, id));
  }
  const ValueHook observer = [&](ValueId id, std::span<float> rows) {
    if (const auto found = histograms.find(id); found != histograms.end()) found->second.add(rows, weights[id]);
  };
  const size_t stride = range_stride();
  for (size_t i = 0; i < streams_->chunks.size(); i += stride) {
    TRY(play_device(half, count, streams_->chunks[i], observer));
  }
  for (const auto& [id, histogram] : histograms) settle_range(id, histogram, half.layer);
  return {};
}

// What an error in each channel of a linear's input does to the output: the squared length of the weights' column, in
// 1 / 4096 of the longest. Empty for what no linear reads.
std::vector<uint32_t> LayerQuantiser::channel_weights(const Half& half, ValueId id) const {
  std::vector<double> lengths;
  for (const Node& node : half.nodes) {
    if (node.kind != NodeKind::kLinear || node.inputs[0] != id) continue;
    const Parameter& weight = context_->graph->parameters[static_cast<size_t>(node.weight)];
    const auto columns = static_cast<size_t>(weight.columns);
    lengths.resize(columns);
    const float* values = streams_->exact.weights.data(node.weight);
    for (size_t i = 0; i < static_cast<size_t>(weight.rows) * columns; i++) {
      lengths[i % columns] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
  }
  std::vector<uint32_t> weights;
  if (lengths.empty()) return weights;
  const double longest = *std::ranges::max_element(lengths);
  for (const double length : lengths) {
    weights.push_back(longest > 0 ? static_cast<uint32_t>(std::nearbyint(4095 * length / longest)) + 1 : 1);
  }
  return weights;
}

void LayerQuantiser::settle_range(ValueId id, const Histogram& histogram, int layer) {
  Value& settled = value(id);
  RangeChoice choice = settled.is_symmetric ? choose_symmetric_range(histogram) : choose_unsigned_range(histogram);
  std::string reason;
  if (is_linear_input(id) && choice.sqnr_db < kLeastInputSqnr && !is_skipped(*context_, "wide-inputs")) {
    reason = fmt::format("8 bits give {:.1f} dB, want {:.0f}", choice.sqnr_db, kLeastInputSqnr);
    choice = whole_unsigned_range_16(histogram);
    settled.bits = 16;
    note(fmt::format("{}: 16 bits, since {}", settled.name, reason));
  }
  settled.ranges = {choice.range};
  context_->report->ranges.push_back({settled.name, layer, static_cast<double>(histogram.lowest()),
                                      static_cast<double>(histogram.highest()), choice.low, choice.high, choice.range,
                                      choice.sqnr_db, settled.bits, reason});
}

bool LayerQuantiser::is_linear_input(ValueId id) const {
  return std::ranges::any_of(context_->graph->nodes, [this, id](const Node& node) {
    return node.kind == NodeKind::kLinear && node.inputs[0] == id && !is_int8(*context_->graph, node);
  });
}

void LayerQuantiser::warn(std::string text) {
  log_warning(text);
  context_->report->warnings.push_back(std::move(text));
}

void LayerQuantiser::note(std::string text) {
  log_info(text);
  context_->report->notes.push_back(std::move(text));
}

Result<void> LayerQuantiser::quantise_linears(const Half& half, const std::vector<const Node*>& linears) {
  const Node& first = *linears[0];
  const auto inputs = static_cast<size_t>(value(first.inputs[0]).width);
  const bool adds_to_residual = first.output != kNone && half.nodes.back().inputs[1] == first.output;
  const size_t outputs = adds_to_residual ? static_cast<size_t>(value(first.output).width) : 0;
  MomentSum fit(inputs, outputs, context_->pool);
  MomentSum held_out(inputs, outputs, context_->pool);
  TRY(sum_moments(half, first, fit, held_out));
  for (const Node* linear : linears) TRY(quantise_linear(*linear, fit, held_out));
  return {};
}

Result<void> LayerQuantiser::sum_moments(const Half& half, const Node& linear, MomentSum& fit, MomentSum& held_out) {
  const ValueId input = linear.inputs[0];
  const auto width = static_cast<size_t>(value(input).width);
  const size_t count = nodes_until(half, input);
  const size_t stride = stride_for(streams_->chunks, std::max(kMomentTokensAtLeast, kMomentTokensPerInput * width));
  std::vector<float> exact_residual, exact, difference;
  for (size_t i = 0; i < streams_->chunks.size(); i += stride) {
    const TokenChunk& chunk = streams_->chunks[i];
    TRY(streams_->exact.read(chunk, exact_residual));
    const auto x = streams_->exact.player.play(half.nodes.first(count), chunk, exact_residual, {});
    exact.assign(x.begin(), x.end());
    TRY_ASSIGN(const std::span<const float> played, play_device(half, count, chunk, {}));
    const size_t fitted = chunk.tokens - chunk.tokens / kHeldOutShare;
    difference.clear();
    if (fit.outputs() > 0) {
      difference = exact_residual;
      for (size_t j = 0; j < difference.size(); j++) difference[j] -= input_rows_[j];
    }
    const std::span<const float> all(difference);
    const size_t split = fitted * fit.outputs();
    fit.add({std::span(exact).first(fitted * width), played.first(fitted * width), all.first(split)});
    held_out.add({std::span(exact).subspan(fitted * width), played.subspan(fitted * width), all.subspan(split)});
  }
  fit.finish();
  held_out.finish();
  return {};
}

Result<void> LayerQuantiser::quantise_linear(const Node& linear, const MomentSum& fit, const MomentSum& held_out) {
  const auto start = std::chrono::steady_clock::now();
  const Parameter& parameter = context_->graph->parameters[static_cast<size_t>(linear.weight)];
  const auto rows = static_cast<size_t>(parameter.rows);
  const auto inputs = static_cast<size_t>(parameter.columns);
  GptqProblem problem;
  problem.matrix = {{streams_->exact.weights.data(linear.weight), rows * inputs}, rows, inputs};
  problem.moments = {fit.quantised(), fit.cross(), fit.residual()};
  problem.tokens = fit.tokens();
  if (held_out.tokens() > 0) problem.held_out = {held_out.quantised(), held_out.cross(), held_out.residual()};
  GptqOptions options;
  options.group = context_->group;
  TRY_ASSIGN(const GptqResult result, quantise_matrix_gptq(problem, options, *context_->pool));
  TRY(store_matrix(*context_, linear, result.matrix));
  streams_->device.weights.replace(linear.weight,
                                   dequantise_int4(result.matrix.packed, result.matrix.row_scale, inputs));
  MatrixReport report{parameter.name, linear.layer,      fmt::format("gptq int4 group {}", context_->group),
                      parameter.rows, parameter.columns, result.matrix.sqnr_db};
  report.gptq = result.report;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context_->report->matrices.push_back(std::move(report));
  return {};
}

// Takes both streams through the half.
Result<void> LayerQuantiser::advance(const Half& half) {
  std::vector<float> rows;
  for (const TokenChunk& chunk : streams_->chunks) {
    TRY(streams_->exact.read(chunk, rows));
    TRY(streams_->exact.write(chunk, streams_->exact.player.play(half.nodes, chunk, rows, {})));
    TRY_ASSIGN(const std::span<const float> played, play_device(half, half.nodes.size(), chunk, {}));
    TRY(streams_->device.write(chunk, played));
  }
  return {};
}

}  // namespace hotaru
