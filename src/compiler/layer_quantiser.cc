#include "compiler/layer_quantiser.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <utility>

#include "compiler/float_ops.h"
#include "compiler/store_parameters.h"

namespace hotaru {
namespace {

// One token in eight tells how well a fit does on what it has not seen.
constexpr size_t kHeldOutShare = 8;
// Below this an input takes 16 bits. GPTQ leaves the weights of down_proj 22 to 28 dB, but their error is the same for
// every token, while an input's comes anew with each: it is what hides a mild adapter (docs/accuracy.md).
constexpr double kLeastInputSqnr = 26;

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
  streams_->device.player.shift_keys(kNone, {});
  TRY(choose_ranges(half, {block.norm1->output}));
  TRY(quantise_linears(half, {block.q, block.k, block.v}));
  TRY(choose_key_form(half, block));
  value(block.attention->inputs[0]).is_symmetric = true;
  TRY(choose_ranges(half, block.attention->inputs));
  TRY(keep(block.attention->output));
  TRY(choose_ranges(half, {block.attention->output}));
  return quantise_linears(half, {block.o});
}

Result<void> LayerQuantiser::quantise_ffn(const Half& half, const Block& block) {
  TRY(choose_ranges(half, {block.norm2->output}));
  TRY(quantise_linears(half, {block.gate, block.up}));
  TRY(keep(block.swiglu->output));
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
  progress_->advance(0);
  TRY(streams_->device.read(chunk, input_rows_));
  bool is_finite = true;
  const ValueHook hook = [&](ValueId id, std::span<float> rows) {
    is_finite = is_finite && all_finite(rows);
    if (observer && is_finite) observer(id, rows);
    round_to_range(value(id), rows);
  };
  TRY_ASSIGN(const auto output, streams_->device.play(half.nodes.first(count), chunk, input_rows_, hook));
  if (is_finite) return output;
  return invalid("layer {}: the model gives a NaN or an infinity on the calibration text", half.layer);
}

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
  for (const TokenChunk& chunk : streams_->chunks) TRY(play_device(half, count, chunk, observer));
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

RangeChoice LayerQuantiser::first_choice(const Histogram& histogram, bool is_symmetric) const {
  if (is_skipped(*context_, "search-ranges")) {
    return is_symmetric ? whole_symmetric_range(histogram) : whole_unsigned_range(histogram, 8);
  }
  return is_symmetric ? choose_symmetric_range(histogram) : choose_unsigned_range(histogram);
}

void LayerQuantiser::settle_range(ValueId id, const Histogram& histogram, int layer) {
  Value& settled = value(id);
  RangeChoice choice = first_choice(histogram, settled.is_symmetric);
  std::string reason;
  if (is_linear_input(id) && choice.sqnr_db < kLeastInputSqnr && !is_skipped(*context_, "wide-inputs")) {
    reason = fmt::format("8 bits give {:.1f} dB, want {:.0f}", choice.sqnr_db, kLeastInputSqnr);
    choice = whole_unsigned_range(histogram, 16);
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

// In both streams: what comes before it is played no more in this half.
Result<void> LayerQuantiser::keep(ValueId id) {
  const auto width = static_cast<size_t>(value(id).width);
  TRY(streams_->exact.keep(id, width, context_->folder));
  return streams_->device.keep(id, width, context_->folder);
}

Result<void> LayerQuantiser::quantise_linears(const Half& half, const std::vector<const Node*>& linears) {
  const Node& first = *linears[0];
  const auto inputs = static_cast<size_t>(value(first.inputs[0]).width);
  const bool adds_to_residual = first.output != kNone && half.nodes.back().inputs[1] == first.output;
  const size_t errors = adds_to_residual ? static_cast<size_t>(value(first.output).width) : inputs;
  Moments moments{{inputs, errors, context_->pool}, {inputs, errors, context_->pool}, adds_to_residual};
  TRY(sum_moments(half, first, moments));
  // What comes now needs room of its own: moments of wide inputs are factorised in double.
  streams_->exact.release();
  streams_->device.release();
  for (const Node* linear : linears) TRY(quantise_linear(*linear, moments));
  return {};
}

Result<void> LayerQuantiser::sum_moments(const Half& half, const Node& linear, Moments& moments) {
  const ValueId input = linear.inputs[0];
  const auto width = static_cast<size_t>(value(input).width);
  const size_t count = nodes_until(half, input);
  std::vector<float> difference;
  std::vector<float> output_error;
  for (const TokenChunk& chunk : streams_->chunks) {
    TRY(streams_->exact.read(chunk, exact_rows_));
    TRY_ASSIGN(const auto exact, streams_->exact.play(half.nodes.first(count), chunk, exact_rows_, {}));
    difference.assign(exact.begin(), exact.end());
    TRY_ASSIGN(const std::span<const float> played, play_device(half, count, chunk, {}));
    for (size_t i = 0; i < difference.size(); i++) difference[i] -= played[i];
    std::span<const float> error(difference);
    if (moments.are_of_outputs) {
      output_error.resize(exact_rows_.size());
      float_linear(*context_->pool, {.x = difference.data(),
                                     .w = streams_->exact.weights.data(linear.weight),
                                     .bias = nullptr,
                                     .y = output_error.data(),
                                     .rows = chunk.tokens,
                                     .n = output_error.size() / chunk.tokens,
                                     .k = width});
      for (size_t i = 0; i < output_error.size(); i++) output_error[i] += exact_rows_[i] - input_rows_[i];
      error = output_error;
    }
    const size_t fitted = chunk.tokens - chunk.tokens / kHeldOutShare;
    const size_t split = fitted * moments.fit.errors();
    moments.fit.add(played.first(fitted * width), error.first(split));
    moments.held_out.add(played.subspan(fitted * width), error.subspan(split));
  }
  moments.fit.finish();
  moments.held_out.finish();
  return {};
}

Result<void> LayerQuantiser::quantise_linear(const Node& linear, const Moments& moments) {
  const auto start = std::chrono::steady_clock::now();
  const Parameter& parameter = context_->graph->parameters[static_cast<size_t>(linear.weight)];
  const auto rows = static_cast<size_t>(parameter.rows);
  const auto inputs = static_cast<size_t>(parameter.columns);
  GptqProblem problem;
  problem.matrix = {{streams_->exact.weights.data(linear.weight), rows * inputs}, rows, inputs};
  const auto view = [&moments](const MomentSum& sum) {
    return moments.are_of_outputs ? InputMoments{sum.quantised(), {}, sum.error()}
                                  : InputMoments{sum.quantised(), sum.error(), {}};
  };
  problem.moments = view(moments.fit);
  problem.tokens = moments.fit.tokens();
  if (moments.held_out.tokens() > 0) problem.held_out = view(moments.held_out);
  GptqOptions options;
  options.group = context_->group;
  options.on_tick = [this] { progress_->advance(0); };
  progress_->set_detail(parameter.name);
  TRY_ASSIGN(const GptqResult result, quantise_matrix_gptq(problem, options, *context_->pool));
  TRY(store_matrix(*context_, linear, result.matrix));
  streams_->device.weights.replace(linear.weight,
                                   dequantise_int4(result.matrix.packed, result.matrix.row_scale, inputs));
  MatrixReport report{parameter.name, linear.layer,      fmt::format("gptq int4 group {}", context_->group),
                      parameter.rows, parameter.columns, result.matrix.sqnr_db};
  report.gptq = result.report;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context_->report->matrices.push_back(std::move(report));
  progress_->advance(rows * inputs / 1000);
  return {};
}

// Takes both streams through the half.
Result<void> LayerQuantiser::advance(const Half& half) {
  for (const TokenChunk& chunk : streams_->chunks) {
    TRY(streams_->exact.read(chunk, exact_rows_));
    TRY_ASSIGN(const auto exact, streams_->exact.play(half.nodes, chunk, exact_rows_, {}));
    TRY(streams_->exact.write(chunk, exact));
    TRY_ASSIGN(const auto played, play_device(half, half.nodes.size(), chunk, {}));
    TRY(streams_->device.write(chunk, played));
  }
  streams_->exact.kept.reset();
  streams_->device.kept.reset();
  return {};
}

}  // namespace hotaru
