#include "compiler/report_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace hotaru {
namespace {

// Of a panel, in units of its view box.
constexpr double kWidth = 260;
constexpr double kHeight = 150;
constexpr double kLeft = 44;
constexpr double kRight = 252;
constexpr double kTop = 8;
constexpr double kBottom = 126;
constexpr double kLayerNumbers = 142;  // baseline
constexpr double kLeastTickDistance = 18;
constexpr int kTicksAboutLinear = 4;

std::string number(double x) { return fmt::format("{:.1f}", x); }

// Where data comes to stand.
class Frame {
 public:
  explicit Frame(const PlotPanel& panel) : axis_(panel.axis) {
    std::vector<double> sizes;
    const auto cover = [this, &sizes](int layer, double y) {
      if (!std::isfinite(y)) return;
      last_layer_ = std::max(last_layer_, layer);
      low_ = std::min(low_, y);
      high_ = std::max(high_, y);
      if (y != 0) sizes.push_back(std::fabs(y));
    };
    for (const PlotBar& bar : panel.bars) {
      cover(bar.layer, bar.low);
      cover(bar.layer, bar.high);
    }
    for (const PlotLine& line : panel.lines) {
      for (const PlotLine::Point& point : line.points) cover(point.layer, point.y);
    }
    if (low_ > high_) low_ = high_ = 0;
    if (axis_ != PlotAxis::kFitted) {
      low_ = std::min(low_, 0.0);
      high_ = std::max(high_, 0.0);
    }
    if (low_ == high_) high_ = low_ + 1;
    if (axis_ == PlotAxis::kSignedLog && !sizes.empty()) {
      const auto middle = sizes.begin() + std::ssize(sizes) / 2;
      std::ranges::nth_element(sizes, middle);
      unit_ = *middle;
    }
  }

  [[nodiscard]] double x(int layer) const {
    const double step = (kRight - kLeft) / (last_layer_ + 1);
    return kLeft + step * (layer + 0.5);
  }
  [[nodiscard]] double y(double value) const {
    return kBottom - (kBottom - kTop) * (bent(value) - bent(low_)) / (bent(high_) - bent(low_));
  }
  [[nodiscard]] double bar_width() const { return std::min(10.0, 0.7 * (kRight - kLeft) / (last_layer_ + 1)); }
  [[nodiscard]] int last_layer() const { return last_layer_; }

  [[nodiscard]] std::vector<double> ticks() const {
    return axis_ == PlotAxis::kSignedLog ? signed_log_ticks() : linear_ticks();
  }

 private:
  [[nodiscard]] double bent(double value) const {
    return axis_ == PlotAxis::kSignedLog ? std::asinh(value / unit_) : value;
  }

  // Multiples of 1, 2 or 5 times a power of ten.
  [[nodiscard]] std::vector<double> linear_ticks() const {
    const double rough = (high_ - low_) / kTicksAboutLinear;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double factor : {5.0, 2.0, 1.0}) {
      if (factor * power >= rough) step = factor * power;
    }
    std::vector<double> ticks;
    for (double i = std::ceil(low_ / step); i * step <= high_; i++) ticks.push_back(i * step);
    return ticks;
  }

  // Zero, powers of ten, then two and five times them, largest first, as far as there is room.
  [[nodiscard]] std::vector<double> signed_log_ticks() const {
    std::vector<double> ticks = {0};
    const double power = std::pow(10, std::floor(std::log10(std::max(high_, -low_))));
    for (const double factor : {1.0, 0.1, 5.0, 2.0, 0.5, 0.2}) {
      for (const double tick : {factor * power, -factor * power}) {
        const bool is_inside = low_ <= tick && tick <= high_;
        const auto is_near = [this, tick](double other) { return std::fabs(y(tick) - y(other)) < kLeastTickDistance; };
        if (is_inside && std::ranges::none_of(ticks, is_near)) ticks.push_back(tick);
      }
    }
    return ticks;
  }

  PlotAxis axis_;
  int last_layer_ = 0;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  double unit_ = 1;
};

void draw_axes(const Frame& frame, Markup& page) {
  for (const double tick : frame.ticks()) {
    const std::string y = number(frame.y(tick));
    page.empty(
        "line",
        {{"class", tick == 0 ? "zero" : "grid"}, {"x1", number(kLeft)}, {"x2", number(kRight)}, {"y1", y}, {"y2", y}});
    page.leaf("text", fmt::format("{:.3g}", tick == 0 ? 0 : tick),
              {{"class", "tick"}, {"x", number(kLeft - 4)}, {"y", number(frame.y(tick) + 3)}});
  }
  std::vector<int> layers = {0, frame.last_layer() / 2, frame.last_layer()};
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  for (const int layer : layers) {
    page.leaf("text", fmt::format("{}", layer),
              {{"class", "layer"}, {"x", number(frame.x(layer))}, {"y", number(kLayerNumbers)}});
  }
}

void draw_hint(const std::string& hint, Markup& page) {
  if (!hint.empty()) page.leaf("title", hint);
}

void draw_bar(const Frame& frame, const PlotBar& bar, Markup& page) {
  if (!std::isfinite(bar.low) || !std::isfinite(bar.high)) return;
  const double width = frame.bar_width();
  const double top = frame.y(bar.high);
  page.open("rect", {{"class", bar.style},
                     {"x", number(frame.x(bar.layer) - width / 2)},
                     {"y", number(top)},
                     {"width", number(width)},
                     {"height", number(std::max(1.0, frame.y(bar.low) - top))}});
  draw_hint(bar.hint, page);
  page.close();
}

void draw_line(const Frame& frame, const PlotLine& line, Markup& page) {
  std::string path;
  for (const PlotLine::Point& point : line.points) {
    if (!std::isfinite(point.y)) continue;
    path += fmt::format("{}{} {}", path.empty() ? "M" : " L", number(frame.x(point.layer)), number(frame.y(point.y)));
  }
  if (path.empty()) return;
  page.empty("path", {{"class", line.style}, {"d", path}});
  for (const PlotLine::Point& point : line.points) {
    if (!std::isfinite(point.y)) continue;
    page.open("circle", {{"class", point.style.empty() ? line.style : point.style},
                         {"cx", number(frame.x(point.layer))},
                         {"cy", number(frame.y(point.y))},
                         {"r", "2.6"}});
    draw_hint(point.hint, page);
    page.close();
  }
}

}  // namespace

void draw_panel(const PlotPanel& panel, Markup& page) {
  const Frame frame(panel);
  page.open("figure");
  page.leaf("figcaption", panel.title);
  page.open("svg", {{"viewBox", fmt::format("0 0 {} {}", kWidth, kHeight)},
                    {"role", "img"},
                    {"aria-label", panel.title + " over the layers"}});
  draw_axes(frame, page);
  for (const PlotBar& bar : panel.bars) draw_bar(frame, bar, page);
  for (const PlotLine& line : panel.lines) draw_line(frame, line, page);
  page.close();
  page.close();
}

void draw_share(double share, Markup& page) {
  page.open("svg", {{"class", "share"}, {"viewBox", "0 0 100 8"}, {"preserveAspectRatio", "none"}});
  page.empty("rect", {{"class", "kept"}, {"width", number(100 * std::clamp(share, 0.0, 1.0))}, {"height", "8"}});
  page.close();
}

}  // namespace hotaru
