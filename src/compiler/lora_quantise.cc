#include "compiler/lora_quantise.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"
#include "compiler/histogram.h"
#include "compiler/rotation.h"
#include "kernels/low_rank.h"

namespace hotaru {
namespace {

constexpr uint64_t kGaugeSeed = 1;

// A <- Q^T A, B <- B Q
Result<void> rotate_middle(LowRank& addition) {
  TRY_ASSIGN(const Rotation rotation, Rotation::create(static_cast<size_t>(addition.rank), kGaugeSeed));
  rotation.rotate_rows(addition.down.size() / static_cast<size_t>(addition.rank), addition.down);
  rotation.rotate_columns(addition.up);
  return {};
}

// 1 over the root mean square of every channel of u [tokens, r]; 1 for channels that are always zero.
std::vector<double> sizes_to_one(const std::vector<float>& hidden, size_t rank) {
  std::vector<double> squares(rank);
  for (size_t i = 0; i < hidden.size(); i++) {
    squares[i % rank] += static_cast<double>(hidden[i]) * static_cast<double>(hidden[i]);
  }
  std::vector<double> factors(rank, 1);
  const double tokens = static_cast<double>(hidden.size()) / static_cast<double>(rank);
  for (size_t r = 0; r < rank; r++) {
    if (squares[r] > 0) factors[r] = 1 / std::sqrt(squares[r] / tokens);
  }
  return factors;
}

// A <- D A, B <- B D^-1
void scale_middle(LowRank& addition, const std::vector<double>& factors) {
  const size_t rank = factors.size();
  const size_t inputs = addition.down.size() / rank;
  for (size_t i = 0; i < addition.down.size(); i++) addition.down[i] *= factors[i / inputs];
  for (size_t i = 0; i < addition.up.size(); i++) addition.up[i] /= factors[i % rank];
}

RangeChoice choose_hidden_range(const std::vector<float>& hidden, const std::vector<double>& factors) {
  std::vector<float> scaled(hidden.size());
  for (size_t i = 0; i < hidden.size(); i++) {
    scaled[i] = static_cast<float>(static_cast<double>(hidden[i]) * factors[i % factors.size()]);
  }
  Histogram histogram;
  histogram.add(scaled);
  return choose_unsigned_range(histogram);
}

// [rows, columns] rounded to float, columns padded with zeros.
std::vector<float> padded(const std::vector<double>& matrix, size_t columns, size_t wanted) {
  std::vector<float> result(matrix.size() / columns * wanted);
  for (size_t i = 0; i < matrix.size(); i++) {
    result[i / columns * wanted + i % columns] = static_cast<float>(matrix[i]);
  }
  return result;
}

QuantisedAddition quantise(LowRank addition, const std::vector<float>& hidden, ThreadPool& pool) {
  QuantisedAddition result;
  result.node = addition.node;
  result.rank = static_cast<size_t>(addition.rank);
  result.inputs = addition.down.size() / result.rank;
  result.outputs = addition.up.size() / result.rank;
  const std::vector<double> factors = sizes_to_one(hidden, result.rank);
  scale_middle(addition, factors);
  const RangeChoice choice = choose_hidden_range(hidden, factors);
  result.hidden = choice.range;
  result.sqnr_db = choice.sqnr_db;
  const auto columns = static_cast<size_t>(padded_rank(static_cast<int>(result.rank)));
  const std::vector<float> down = padded(addition.down, result.inputs, result.inputs);
  const std::vector<float> up = padded(addition.up, result.rank, columns);
  result.down = quantise_matrix_int8({down, result.rank, result.inputs}, pool);
  result.up = quantise_matrix_int8({up, result.outputs, columns}, pool);
  for (float& scale : result.up.row_scale) scale = scale * result.hidden.scale;
  result.bias.assign(addition.bias.begin(), addition.bias.end());
  return result;
}

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

}  // namespace

Result<std::vector<QuantisedAddition>> quantise_additions(const FloatTwin& twin, std::vector<LowRank> additions,
                                                          const SegmentBatch& batch, ThreadPool& pool) {
  Graph adapted = twin.graph;
  for (LowRank& addition : additions) TRY(rotate_middle(addition));
  const std::vector<ValueId> ids = attach(adapted, additions);
  const ParameterSource parameters(&adapted, twin.matrices);
  FloatExecutor executor(&adapted, &parameters, &pool);
  TRY(executor.begin(batch));
  std::vector<QuantisedAddition> results(additions.size());
  const auto layers = static_cast<int>(adapted.shape.layers);
  Progress progress("calibrate", static_cast<uint64_t>(layers), "layers");
  for (int layer = 0; layer < layers; layer++) {
    std::map<ValueId, std::vector<float>> seen;  // u of this layer's additions, [tokens, r]
    TRY(executor.run_layer(layer, [&](ValueId value, std::span<const float> rows) {
      if (std::ranges::find(ids, value) == ids.end()) return;
      std::vector<float>& all = seen[value];
      all.insert(all.end(), rows.begin(), rows.end());
    }));
    for (size_t i = 0; i < ids.size(); i++) {
      const auto found = seen.find(ids[i]);
      if (found == seen.end()) continue;
      if (!all_finite(found->second)) {
        return invalid("'{}': with the adapter the model gives a NaN or an infinity on the calibration text",
                       additions[i].node);
      }
      results[i] = quantise(std::move(additions[i]), found->second, pool);
    }
    progress.advance();
  }
  return results;
}

}  // namespace hotaru
