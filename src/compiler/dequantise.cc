#include "compiler/dequantise.h"

#include <cstring>

#include "compiler/quantise_matrix.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

template <typename T>
std::vector<T> copy_of(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

std::vector<double> widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

std::vector<double> values_of(const OptimisedModel& model, const StoredParameter& stored, size_t inputs) {
  const auto layout_of = [&model](int tensor) { return model.tensors[static_cast<size_t>(tensor)].layout; };
  if (stored.packed != -1) {
    const auto scales = copy_of<float>(model.bytes(stored.row_scale));
    const auto codes = model.bytes(stored.packed);
    if (layout_of(stored.packed) == fb::Layout::PackedInt4) {
      return widened(dequantise_int4({reinterpret_cast<const uint8_t*>(codes.data()), codes.size()}, scales, inputs));
    }
    return widened(dequantise_int8({reinterpret_cast<const int8_t*>(codes.data()), codes.size()}, scales, inputs));
  }
  if (stored.values == -1) return {};
  const auto bytes = model.bytes(stored.values);
  return layout_of(stored.values) == fb::Layout::F64 ? copy_of<double>(bytes) : widened(copy_of<float>(bytes));
}

}  // namespace

namespace {

Result<void> check_scales(const OptimisedModel& model, ParameterId id) {
  const StoredParameter& stored = model.stored[static_cast<size_t>(id)];
  if (stored.packed == -1 || stored.row_scale != -1) return {};
  return invalid("'{}' has no row scales", model.graph.parameters[static_cast<size_t>(id)].name);
}

// Rows of an 8-bit matrix without touching the others: embeddings are read token by token.
std::vector<float> int8_rows(const OptimisedModel& model, const StoredParameter& stored, size_t inputs, RowRange rows) {
  const auto* scales = reinterpret_cast<const float*>(model.bytes(stored.row_scale).data());  // 64-byte aligned
  const auto* codes = reinterpret_cast<const int8_t*>(model.bytes(stored.packed).data());
  std::vector<float> values;
  for (auto row = static_cast<size_t>(rows.begin); row < static_cast<size_t>(rows.end); row++) {
    for (size_t k = 0; k < inputs; k++) {
      values.push_back(scales[row] * static_cast<float>(codes[packed_int8_index(row, k, inputs)]));
    }
  }
  return values;
}

Result<Graph> graph_of(const OptimisedModel& model, bool with_matrices) {
  Graph graph = model.graph;
  for (size_t id = 0; id < graph.parameters.size(); id++) {
    Parameter& parameter = graph.parameters[id];
    TRY(check_scales(model, static_cast<ParameterId>(id)));
    if (with_matrices || model.stored[id].packed == -1) {
      parameter.values = values_of(model, model.stored[id], static_cast<size_t>(parameter.columns));
    }
    parameter.source.clear();
    parameter.rewrites.clear();  // already in the codes
  }
  return graph;
}

}  // namespace

Result<Graph> dequantised_graph(const OptimisedModel& model) { return graph_of(model, true); }
Result<Graph> streamed_graph(const OptimisedModel& model) { return graph_of(model, false); }

ParameterSource::RowReader stored_rows(const OptimisedModel& model) {
  return [&model](ParameterId id, RowRange rows) -> Result<std::vector<float>> {
    const StoredParameter& stored = model.stored[static_cast<size_t>(id)];
    const Parameter& parameter = model.graph.parameters[static_cast<size_t>(id)];
    if (stored.packed == -1) return invalid("'{}' has no values", parameter.name);
    const auto inputs = static_cast<size_t>(parameter.columns);
    if (model.tensors[static_cast<size_t>(stored.packed)].layout == fb::Layout::PackedInt8) {
      return int8_rows(model, stored, inputs, rows);
    }
    const auto scales = copy_of<float>(model.bytes(stored.row_scale));
    const auto codes = model.bytes(stored.packed);
    auto values = dequantise_int4({reinterpret_cast<const uint8_t*>(codes.data()), codes.size()}, scales, inputs);
    values.resize(static_cast<size_t>(rows.end) * inputs);
    values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rows.begin) * parameter.columns);
    return values;
  };
}

}  // namespace hotaru
