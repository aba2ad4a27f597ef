#include "compiler/twin_streams.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/memory.h"
#include "compiler/block.h"
#include "compiler/int4_lanes.h"
#include "compiler/quantise_row.h"

namespace hotaru {
namespace {

// Moments and ranges are measured on this many tokens, moments on so many for each input: more changes little.
constexpr size_t kTokensAtLeast = 32768;
constexpr size_t kTokensPerInput = 4;

size_t tokens_worth_playing(const Graph& graph) {
  int64_t widest = 0;
  for (const Node& node : graph.nodes) {
    if (node.kind == NodeKind::kLinear) {
      widest = std::max(widest, graph.parameters[static_cast<size_t>(node.weight)].columns);
    }
  }
  return std::max(kTokensAtLeast, kTokensPerInput * static_cast<size_t>(widest));
}

}  // namespace

Stream::Stream(const PassContext& context, ResidualStore store)
    : weights(context.graph, context.parameters, 0),
      player(context.graph, &weights, context.pool),
      residual(std::move(store)) {}

Result<void> Stream::keep(ValueId value, size_t width, const std::string& folder) {
  kept.reset();  // two at a time would be twice the room
  TRY_ASSIGN(ResidualStore rows, ResidualStore::create(residual.tokens(), width, folder));
  kept.emplace(Kept{value, std::move(rows), std::vector<bool>(residual.tokens())});
  return {};
}

Result<std::span<const float>> Stream::play(std::span<const Node> nodes, const TokenChunk& chunk,
                                            std::span<const float> input, const ValueHook& hook) {
  KnownValue known;
  if (kept && kept->is_there[chunk.begin]) {
    const auto maker = std::ranges::find(nodes, kept->value, &Node::output);
    if (maker != nodes.end()) {
      TRY(kept->rows.read({chunk.begin, chunk.tokens}, kept_rows_));
      if (hook) hook(kept->value, kept_rows_);
      known = {kept->value, kept_rows_};
      nodes = nodes.subspan(static_cast<size_t>(maker - nodes.begin()) + 1);
      if (nodes.empty()) return known.rows;
    }
  }
  Result<void> written;
  const ValueHook keeping_hook = [&](ValueId id, std::span<float> rows) {
    if (kept && id == kept->value) {
      written = kept->rows.write({chunk.begin, chunk.tokens}, rows);
      kept->is_there[chunk.begin] = written.ok();
    }
    if (hook) hook(id, rows);
  };
  const auto output = player.play(nodes, chunk, input, keeping_hook, known);
  TRY(written);
  return output;
}

void Stream::release() {
  player.release();
  give_memory_back(kept_rows_);
}

TwinStreams::TwinStreams(const PassContext& context, SegmentBatch used, ResidualStore exact_store,
                         ResidualStore device_store)
    : exact(context, std::move(exact_store)), device(context, std::move(device_store)), batch(std::move(used)) {
  chunks = cut_chunks(batch.lengths);
  const auto& lengths = batch.lengths;
  const int64_t longest = lengths.empty() ? 0 : *std::ranges::max_element(lengths);
  exact.player.cover_positions(static_cast<size_t>(longest));
  device.player.cover_positions(static_cast<size_t>(longest));
}

Result<std::unique_ptr<TwinStreams>> TwinStreams::create(const PassContext& context, const std::string& folder) {
  SegmentBatch used = thinned(context.calibration->batch, tokens_worth_playing(*context.graph));
  const size_t tokens = used.ids.size();
  const auto width = static_cast<size_t>(context.graph->shape.width);
  TRY_ASSIGN(ResidualStore exact_store, ResidualStore::create(tokens, width, folder));
  TRY_ASSIGN(ResidualStore device_store, ResidualStore::create(tokens, width, folder));
  return std::unique_ptr<TwinStreams>(
      new TwinStreams(context, std::move(used), std::move(exact_store), std::move(device_store)));
}

Result<void> TwinStreams::embed(const PassContext& context) {
  TRY_ASSIGN(const Ends ends, match_ends(*context.graph));
  const auto width = static_cast<size_t>(context.graph->shape.width);
  std::vector<int8_t> codes(width);
  std::vector<float> exact_rows, device_rows;
  for (const TokenChunk& chunk : chunks) {
    exact_rows.clear();
    device_rows.clear();
    for (size_t i = 0; i < chunk.tokens; i++) {
      const int32_t id = batch.ids[chunk.begin + i];
      TRY_ASSIGN(const std::vector<float> row, context.parameters->materialise_rows(ends.embed->weight, {id, id + 1}));
      const float scale = quantise_row_int8(row, codes);
      exact_rows.insert(exact_rows.end(), row.begin(), row.end());
      for (const int8_t code : codes) device_rows.push_back(scale * static_cast<float>(code));
    }
    TRY(exact.write(chunk, exact_rows));
    TRY(device.write(chunk, device_rows));
  }
  return {};
}

void round_to_range(const Value& value, std::span<float> rows) {
  if (value.ranges.empty()) return;
  const StaticRange range = value.ranges[0];
  const auto zero = static_cast<float>(range.zero_point);
  const float most =
      value.is_symmetric ? static_cast<float>((1 << (value.bits - 1)) - 1) : static_cast<float>((1 << value.bits) - 1);
  const float least = value.is_symmetric ? -most : 0.0F;
  const float inverse = 1.0F / range.scale;
  // The ends are whole numbers, so rounding behind them comes to the same.
  const auto round = [=]<typename T>(T x) {
    x = x * inverse + zero;
    return (nearest(at_most(at_least(x, T{} + least), T{} + most)) - zero) * range.scale;
  };
  const size_t lanes = sizeof(Floats) / sizeof(float);
  const size_t whole = rows.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes) {
    const Floats rounded = round(load_floats(&rows[i]));
    std::memcpy(&rows[i], &rounded, sizeof(rounded));
  }
  for (float& x : rows.subspan(whole)) x = round(x);
}

bool all_finite(std::span<const float> values) {
  const size_t lanes = sizeof(Floats) / sizeof(float);
  const size_t whole = values.size() / lanes * lanes;
  Floats sum = {};
  for (size_t i = 0; i < whole; i += lanes) {
    const Floats x = load_floats(&values[i]);
    sum += x - x;  // 0, or NaN from then on
  }
  bool is_finite = true;
  for (size_t i = 0; i < lanes; i++) is_finite = is_finite && sum[i] == 0;
  return is_finite && std::ranges::all_of(values.subspan(whole), [](float x) { return std::isfinite(x); });
}

}  // namespace hotaru
