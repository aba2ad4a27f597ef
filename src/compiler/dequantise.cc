#include "compiler/dequantise.h"

#include <cstring>

#include "compiler/quantise_matrix.h"

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

Result<Graph> dequantised_graph(const OptimisedModel& model) {
  Graph graph = model.graph;
  for (size_t id = 0; id < graph.parameters.size(); id++) {
    Parameter& parameter = graph.parameters[id];
    const StoredParameter& stored = model.stored[id];
    if (stored.packed != -1 && stored.row_scale == -1) return invalid("'{}' has no row scales", parameter.name);
    parameter.values = values_of(model, stored, static_cast<size_t>(parameter.columns));
    parameter.source.clear();
    parameter.rewrites.clear();  // already in the codes
  }
  return graph;
}

}  // namespace hotaru
