#include "compiler/report_layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace hotaru {
namespace {

constexpr std::string_view kLayers = "layers.";

std::string_view name_of(const MatrixReport& matrix) { return matrix.name; }
std::string_view name_of(const RangeReport& range) { return range.value; }

template <typename Kind, typename Item>
std::vector<Kind> kinds_of(const std::vector<Item>& items) {
  std::vector<Kind> kinds;
  for (const Item& item : items) {
    if (!name_of(item).starts_with(kLayers)) continue;
    const std::string name = short_name(name_of(item));
    auto kind = std::ranges::find(kinds, name, &Kind::name);
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), Kind{name, {}});
    kind->layers.push_back(&item);
  }
  return kinds;
}

}  // namespace

std::vector<LayerReport> layers_of(const OptimiseReport& report) {
  std::map<int, LayerReport> layers;
  for (const MatrixReport& matrix : report.matrices) layers[matrix.layer].matrices.push_back(&matrix);
  for (const RangeReport& range : report.ranges) layers[range.layer].ranges.push_back(&range);
  std::vector<LayerReport> list;
  for (auto& [index, layer] : layers) {
    layer.layer = index;
    list.push_back(std::move(layer));
  }
  return list;
}

std::string title_of(const LayerReport& layer) {
  if (layer.layer < 0) return "embedding";
  const std::string_view first = layer.ranges.empty() ? name_of(*layer.matrices[0]) : name_of(*layer.ranges[0]);
  return first.starts_with(kLayers) ? fmt::format("layer {}", layer.layer) : "head";
}

std::vector<std::string> range_cells(const RangeReport& range) {
  std::vector<std::string> cells = {range.value};
  for (const double end : {range.lowest, range.highest, range.low, range.high}) {
    cells.push_back(fmt::format("{:.4g}", end));
  }
  cells.push_back(fmt::format("{}", range.bits));
  cells.push_back(fmt::format("{:.1f}", range.sqnr_db));
  cells.push_back(range.reason);
  return cells;
}

std::string short_name(std::string_view name) {
  if (name.starts_with(kLayers)) {
    const size_t dot = name.find('.', kLayers.size());
    if (dot != std::string_view::npos) name.remove_prefix(dot + 1);
  }
  constexpr std::string_view kWeight = ".weight";
  if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
  return std::string(name);
}

std::vector<MatrixKind> matrix_kinds(const OptimiseReport& report) { return kinds_of<MatrixKind>(report.matrices); }

std::vector<RangeKind> range_kinds(const OptimiseReport& report) { return kinds_of<RangeKind>(report.ranges); }

}  // namespace hotaru
