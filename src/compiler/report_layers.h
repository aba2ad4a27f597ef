// The optimiser's report in the orders in which people read it: layer by layer, and over all layers by what stands in
// each of them under the same name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compiler/optimise_report.h"

namespace hotaru {

struct LayerReport {
  int layer = 0;
  std::vector<const MatrixReport*> matrices;
  std::vector<const RangeReport*> ranges;
};
std::vector<LayerReport> layers_of(const OptimiseReport& report);
// "layer 3"; "embedding" and "head" before and behind the layers.
std::string title_of(const LayerReport& layer);

// A row of the reports' tables of ranges: value, lowest and highest seen, low and high chosen, bits, SQNR in dB,
// reason.
std::vector<std::string> range_cells(const RangeReport& range);

// "layers.3.down.weight" -> "down"; "embedding.weight" -> "embedding".
std::string short_name(std::string_view name);

// All layers' matrices, or values, of one short name; without embedding and head.
struct MatrixKind {
  std::string name;
  std::vector<const MatrixReport*> layers;
};
struct RangeKind {
  std::string name;
  std::vector<const RangeReport*> layers;
};
std::vector<MatrixKind> matrix_kinds(const OptimiseReport& report);
std::vector<RangeKind> range_kinds(const OptimiseReport& report);

}  // namespace hotaru
