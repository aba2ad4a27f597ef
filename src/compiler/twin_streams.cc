#include "compiler/twin_streams.h"

#include <algorithm>
#include <cmath>

#include "compiler/block.h"
#include "compiler/quantise_row.h"

namespace hotaru {

Stream::Stream(const PassContext& context, ResidualStore store)
    : weights(context.graph, context.parameters, 0),
      player(context.graph, &weights, context.pool),
      residual(std::move(store)) {}

TwinStreams::TwinStreams(const PassContext& context, ResidualStore exact_store, ResidualStore device_store)
    : exact(context, std::move(exact_store)),
      device(context, std::move(device_store)),
      chunks(cut_chunks(context.calibration->batch.lengths)) {
  const auto& lengths = context.calibration->batch.lengths;
  const int64_t longest = lengths.empty() ? 0 : *std::ranges::max_element(lengths);
  exact.player.cover_positions(static_cast<size_t>(longest));
  device.player.cover_positions(static_cast<size_t>(longest));
}

Result<std::unique_ptr<TwinStreams>> TwinStreams::create(const PassContext& context, const std::string& folder) {
  const size_t tokens = context.calibration->batch.ids.size();
  const auto width = static_cast<size_t>(context.graph->shape.width);
  TRY_ASSIGN(ResidualStore exact_store, ResidualStore::create(tokens, width, folder));
  TRY_ASSIGN(ResidualStore device_store, ResidualStore::create(tokens, width, folder));
  return std::unique_ptr<TwinStreams>(new TwinStreams(context, std::move(exact_store), std::move(device_store)));
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
      const int32_t id = context.calibration->batch.ids[chunk.begin + i];
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
  for (float& x : rows) {
    x = (std::clamp(std::nearbyint(x * inverse + zero), least, most) - zero) * range.scale;
  }
}

}  // namespace hotaru
