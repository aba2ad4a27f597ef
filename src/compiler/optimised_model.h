// An optimised model: the graph with its static ranges, and the stored form of every parameter. It is what a HAR holds
// and what lowering reads; a synthetic model makes its tensors on demand.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "compiler/tensor_section.h"
#include "format/tensor_generated.h"
#include "graph/graph.h"

namespace hotaru {

// Where a parameter's bytes are: indices of tensors; -1: not there.
struct StoredParameter {
  int packed = -1;     // [rows, columns] PackedInt4 or PackedInt8
  int row_scale = -1;  // F32 [rows]
  int row_sum = -1;    // I32 [rows]: sum_k m q
  int values = -1;     // kept in float: F32 [rows * columns] (F64 for rope frequencies)
};

// An adapter of a HAR: its sites name linears of the graph.
struct StoredAdapter {
  fb::AdapterT table;
  std::span<const std::byte> bytes;  // its section
};

struct OptimisedModel {
  Graph graph;
  std::vector<StoredParameter> stored;  // by ParameterId
  std::vector<TensorHeader> tensors;
  fb::ModelIdentityT identity;
  fb::QuantisationInfoT quantisation;
  fb::GenerationDefaultsT generation;
  // Bytes of a tensor, good until the next call.
  std::function<std::span<const std::byte>(int tensor)> bytes;
  std::vector<StoredAdapter> adapters;
};

fb::ModelShapeT shape_table(const GraphShape& shape);

}  // namespace hotaru
