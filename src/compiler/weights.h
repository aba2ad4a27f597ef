// Float weights on demand: a parameter is read from the checkpoint, its rewrites are applied in double, rounded once.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "format/safetensors.h"
#include "graph/graph.h"

namespace hotaru {

// [rows, columns] row-major. NaN or infinity in a source tensor is an error naming tensor and position.
class ParameterSource {
 public:
  ParameterSource(const Graph* graph, const Safetensors* tensors) : graph_(graph), tensors_(tensors) {}
  // Weights that someone else makes as they are asked for (a HAR's codes, dequantise.h).
  using RowReader = std::function<Result<std::vector<float>>(ParameterId id, RowRange rows)>;
  ParameterSource(const Graph* graph, RowReader reader) : graph_(graph), reader_(std::move(reader)) {}
  // Synthetic weights (bench --shape, tests): seeded normal numbers of a trained model's size, no checkpoint.
  ParameterSource(const Graph* graph, uint64_t seed) : graph_(graph), seed_(seed) {}

  [[nodiscard]] Result<std::vector<float>> materialise(ParameterId id) const;
  [[nodiscard]] Result<std::vector<double>> materialise_double(ParameterId id) const;
  // Some rows only (token embeddings). A rewrite that mixes rows costs the whole matrix.
  [[nodiscard]] Result<std::vector<float>> materialise_rows(ParameterId id, RowRange rows) const;

 private:
  [[nodiscard]] Result<std::vector<float>> source_rows(ParameterId id, RowRange rows) const;
  [[nodiscard]] Result<void> read_double(ParameterId id, RowRange rows, std::span<double> out) const;
  [[nodiscard]] Result<std::vector<double>> rows_before_mixing(ParameterId id, RowRange rows) const;
  [[nodiscard]] Result<std::vector<double>> rewritten_rows(ParameterId id, RowRange rows) const;
  const Graph* graph_;
  const Safetensors* tensors_ = nullptr;
  RowReader reader_;
  uint64_t seed_ = 0;
};

}  // namespace hotaru
