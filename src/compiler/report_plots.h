// The plots of the report's page, as SVG: small panels over the layers, one for each kind of matrix or value.
#pragma once

#include <string>
#include <vector>

#include "compiler/markup.h"

namespace hotaru {

// One number a layer, drawn as a line with dots. `style` is the class that the style sheet colours.
struct PlotLine {
  struct Point {
    int layer = 0;
    double y = 0;
    std::string hint;   // shown on hovering
    std::string style;  // of this dot, where it differs
  };
  std::string style;
  std::vector<Point> points;
};

// From `low` to `high` at a layer.
struct PlotBar {
  std::string style;
  int layer = 0;
  double low = 0;
  double high = 0;
  std::string hint;
};

enum class PlotAxis {
  kFromZero,   // linear, zero inside
  kFitted,     // linear, as far as the data goes
  kSignedLog,  // asinh: linear among the usual values, logarithmic beyond
};

struct PlotPanel {
  std::string title;
  PlotAxis axis = PlotAxis::kFromZero;
  std::vector<PlotBar> bars;  // earlier ones lie below
  std::vector<PlotLine> lines;
};

// Figures that are not finite are left out.
void draw_panel(const PlotPanel& panel, Markup& page);

// A share of the whole, 0 to 1, as a bar within a table.
void draw_share(double share, Markup& page);

}  // namespace hotaru
