#include "cli/bench_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/size_text.h"
#include "cli/version.h"
#include "compiler/markup.h"
#include "compiler/report_plots.h"
#include "eval/roofline.h"

namespace hotaru::cli {
namespace {

// Of the roofline, in units of its view box. Both axes are logarithmic: operations a byte, and operations a second.
constexpr double kWidth = 720;
constexpr double kHeight = 360;
constexpr double kLeft = 64;
constexpr double kRight = 700;
constexpr double kTop = 16;
constexpr double kBottom = 320;
constexpr double kLeastIntensity = 0.5;
constexpr double kMostIntensity = 16384;
constexpr double kDecades = 4;  // of speed, below the top of the frame

constexpr const char* kPhaseStyles[] = {"kept", "gptq", "rtn", "wide"};
const char* style_of(size_t phase) { return kPhaseStyles[phase % std::size(kPhaseStyles)]; }

std::string number(double x) { return fmt::format("{:.1f}", x); }

// Where an intensity (operations a byte) and a speed (operations a second) come to stand.
struct Frame {
  double most_speed;

  [[nodiscard]] double x(double intensity) const {
    const double share = std::log(intensity / kLeastIntensity) / std::log(kMostIntensity / kLeastIntensity);
    return kLeft + (kRight - kLeft) * std::clamp(share, 0.0, 1.0);
  }
  [[nodiscard]] double y(double speed) const {
    const double share = 1 + std::log10(speed / most_speed) / kDecades;
    return kBottom - (kBottom - kTop) * std::clamp(share, 0.0, 1.0);
  }
};

struct Point {
  double x, y;
};

void draw_line(Point from, Point to, const char* style, Markup& page) {
  page.empty(
      "line",
      {{"class", style}, {"x1", number(from.x)}, {"y1", number(from.y)}, {"x2", number(to.x)}, {"y2", number(to.y)}});
}

void draw_axes(const Frame& frame, Markup& page) {
  for (double speed = frame.most_speed; speed > frame.most_speed / 2e4; speed /= 10) {
    draw_line({kLeft, frame.y(speed)}, {kRight, frame.y(speed)}, "grid", page);
    page.leaf("text", fmt::format("{:.3g}", speed / 1e9),
              {{"class", "tick"}, {"x", number(kLeft - 6)}, {"y", number(frame.y(speed) + 3)}});
  }
  for (double intensity = 1; intensity < kMostIntensity; intensity *= 4) {
    draw_line({frame.x(intensity), kTop}, {frame.x(intensity), kBottom}, "grid", page);
    page.leaf("text", fmt::format("{:g}", intensity),
              {{"class", "layer"}, {"x", number(frame.x(intensity))}, {"y", number(kBottom + 14)}});
  }
  page.leaf("text", "GOP/s", {{"x", "4"}, {"y", number(kTop + 4)}});
  page.leaf("text", "operations a byte of weights, keys and values",
            {{"class", "tick"}, {"x", number(kRight)}, {"y", number(kBottom + 30)}});
}

// Below the ridge memory is the limit, right of it the processor.
void draw_roof(const Frame& frame, const MachineLimits& limits, Markup& page) {
  const double peak = 2 * limits.multiply_adds_per_second;
  const double ridge = peak > 0 ? peak / limits.read_bytes_per_second : kMostIntensity;
  const double first = std::max(kLeastIntensity, frame.most_speed / 1e4 / limits.read_bytes_per_second);
  draw_line({frame.x(first), frame.y(first * limits.read_bytes_per_second)},
            {frame.x(ridge), frame.y(ridge * limits.read_bytes_per_second)}, "zero", page);
  if (peak > 0) draw_line({frame.x(ridge), frame.y(peak)}, {kRight, frame.y(peak)}, "zero", page);
}

void draw_roofline(const BenchResult& result, Markup& page) {
  const MachineLimits& limits = result.report.limits;
  const double top = limits.multiply_adds_per_second > 0 ? 2 * limits.multiply_adds_per_second
                                                         : kMostIntensity * limits.read_bytes_per_second;
  const Frame frame{1.5 * top};
  page.open("svg", {{"viewBox", fmt::format("0 0 {} {}", kWidth, kHeight)}, {"role", "img"}});
  draw_axes(frame, page);
  draw_roof(frame, limits, page);
  for (size_t i = 0; i < result.report.phases.size(); i++) {
    const BenchPhase& phase = result.report.phases[i];
    for (const RooflineRow& row : roofline(phase)) {
      if (row.memory_bytes <= 0 || row.multiply_adds <= 0) continue;
      page.open("circle", {{"class", style_of(i)},
                           {"cx", number(frame.x(2 * row.multiply_adds / row.memory_bytes))},
                           {"cy", number(frame.y(2 * row.multiply_adds_per_second()))},
                           {"r", number(2.5 + 8 * std::sqrt(row.share))}});
      page.leaf("title", fmt::format("{}: {}, {:.3f} ms, {:.1f} GOP/s, {:.1f} GB/s, {:.0f} % of the limit", phase.name,
                                     row.call, row.ms, 2 * row.multiply_adds_per_second() / 1e9,
                                     row.bytes_per_second() / 1e9, row.share_of_limit() * 100));
      page.close();
    }
  }
  page.close();
}

void write_tile(std::string_view name, const std::string& figure, Markup& page) {
  page.open("div");
  page.leaf("strong", figure);
  page.leaf("span", name);
  page.close();
}

void write_tiles(const BenchResult& result, Markup& page) {
  page.open("div", {{"class", "tiles"}});
  for (const auto& [tokens, ms] : result.report.ttft_ms) {
    write_tile(fmt::format("first token after {}", tokens), fmt::format("{:.1f} ms", ms), page);
  }
  for (const auto& [depth, ms] : result.report.decode_ms) {
    write_tile(fmt::format("a token at depth {}", depth), fmt::format("{:.2f} ms", ms), page);
  }
  write_tile("read from memory, at most", fmt::format("{:.1f} GB/s", result.report.limits.read_bytes_per_second / 1e9),
             page);
  if (result.report.limits.multiply_adds_per_second > 0) {
    write_tile("8-bit products, at most",
               fmt::format("{:.0f} GOP/s", 2 * result.report.limits.multiply_adds_per_second / 1e9), page);
  }
  write_tile("resident at most", size_text(result.peak_rss_bytes), page);
  write_tile("load", fmt::format("{:.0f} ms", result.load_ms), page);
  page.close();
}

void write_row(std::string_view cell, std::initializer_list<std::string> cells, Markup& page) {
  for (const std::string& text : cells) page.leaf(cell, text);
}

// The bar is the share of the time; the last column says how much of it the machine's limits ask for.
void write_phase(const BenchPhase& phase, Markup& page) {
  const RooflineRow total = roofline_total(phase);
  page.leaf("h2",
            fmt::format("{}: {:.2f} ms, {:.0f} % of the limit", phase.name, phase.ms, total.share_of_limit() * 100));
  page.open("table");
  page.open("tr");
  write_row("th", {"call", "operation", "ms", "share", "", "MB read", "GB/s", "GOP/s", "limit", "of limit"}, page);
  page.close();
  for (const RooflineRow& row : roofline(phase)) {
    page.open("tr");
    write_row("td", {row.call, row.operation, fmt::format("{:.3f}", row.ms), fmt::format("{:.1f} %", row.share * 100)},
              page);
    page.open("td");
    draw_share(row.share, page);
    page.close();
    const bool counts = row.limit_ms > 0;
    write_row("td",
              {fmt::format("{:.2f}", row.memory_bytes / 1e6), fmt::format("{:.2f}", row.bytes_per_second() / 1e9),
               fmt::format("{:.1f}", 2 * row.multiply_adds_per_second() / 1e9),
               counts ? (row.reads_longer ? "memory" : "products") : "",
               counts ? fmt::format("{:.0f} %", row.share_of_limit() * 100) : ""},
              page);
    page.close();
  }
  page.close();
}

void write_body(const BenchResult& result, Markup& page) {
  page.leaf("h1", "hotaru bench");
  page.leaf("p", fmt::format("{}; {}, {}, {} threads; commit {}", result.model, processor_name(),
                             isa_name(result.device.isa), result.device.threads, commit_text()));
  write_tiles(result, page);
  page.leaf("h2", "Roofline");
  page.leaf("p",
            "Each dot is a kind of call, as large as its share of the time; the lines are the limits, the median of "
            "what was measured in between. What stands on a line cannot be faster on this machine.");
  page.open("p", {{"class", "legend"}});
  for (size_t i = 0; i < result.report.phases.size(); i++) {
    page.leaf("span", result.report.phases[i].name, {{"class", style_of(i)}});
  }
  page.close();
  draw_roofline(result, page);
  for (const BenchPhase& phase : result.report.phases) write_phase(phase, page);
}

}  // namespace

std::string bench_page(const BenchResult& result) {
  Markup page;
  page.verbatim("<!doctype html>\n");
  page.open("html", {{"lang", "en"}});
  page.open("head");
  page.empty("meta", {{"charset", "utf-8"}});
  page.empty("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  page.leaf("title", "hotaru bench");
  page.open("style");
  page.verbatim(report_style());
  page.close();
  page.close();
  page.open("body");
  write_body(result, page);
  page.close();
  page.close();
  return page.take();
}

}  // namespace hotaru::cli
