#include "compiler/report_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "compiler/markup.h"
#include "compiler/report_layers.h"
#include "compiler/report_plots.h"

namespace hotaru {

namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

double median(std::vector<double> values) {
  if (values.empty()) return kNothing;
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

bool has_errors(const OptimiseReport& report) {
  return std::ranges::any_of(report.matrices, [](const MatrixReport& matrix) { return matrix.gptq.has_value(); });
}

void write_tile(std::string_view name, const std::string& figure, Markup& page) {
  page.open("div");
  page.leaf("strong", figure);
  page.leaf("span", name);
  page.close();
}

void write_tiles(const OptimiseReport& report, Markup& page) {
  std::vector<double> rtn, plain, kept;
  double lowest = std::numeric_limits<double>::infinity();
  for (const MatrixReport& matrix : report.matrices) {
    lowest = matrix.sqnr_db > 0 ? std::min(lowest, matrix.sqnr_db) : lowest;
    if (!matrix.gptq) continue;
    rtn.push_back(matrix.gptq->rtn_error);
    plain.push_back(matrix.gptq->plain_error);
    kept.push_back(matrix.gptq->error);
  }
  double seconds = 0;
  for (const PassReport& pass : report.passes) seconds += pass.seconds;
  const auto wide = std::ranges::count_if(report.ranges, [](const RangeReport& range) { return range.bits > 8; });
  page.open("div", {{"class", "tiles"}});
  write_tile("matrices", fmt::format("{}", report.matrices.size()), page);
  write_tile("lowest SQNR of weights", fmt::format("{:.1f} dB", lowest), page);
  if (!kept.empty()) {
    write_tile("median error: rtn, gptq, kept",
               fmt::format("{:.4f} → {:.4f} → {:.4f}", median(rtn), median(plain), median(kept)), page);
  }
  write_tile("values on 16 bits", fmt::format("{} of {}", wide, report.ranges.size()), page);
  write_tile("time", fmt::format("{:.0f} s", seconds), page);
  page.close();
}

void write_list(std::string_view title, const std::vector<std::string>& entries, Markup& page) {
  if (entries.empty()) return;
  page.leaf("h2", title);
  page.open("ul");
  for (const std::string& entry : entries) page.leaf("li", entry);
  page.close();
}

std::vector<std::string> choices_of(const OptimiseReport& report) {
  std::vector<std::string> choices = report.notes;
  for (const PassReport& pass : report.passes) {
    if (!pass.note.empty()) choices.push_back(pass.name + ": " + pass.note);
    if (pass.is_skipped) choices.push_back(pass.name + ": left out");
  }
  for (const RangeReport& range : report.ranges) {
    if (!range.reason.empty()) choices.push_back(fmt::format("{}: {} bits; {}", range.value, range.bits, range.reason));
  }
  return choices;
}

// Name and class of a series.
using Key = std::pair<std::string_view, std::string>;
void write_legend(std::initializer_list<Key> keys, Markup& page) {
  page.open("p", {{"class", "legend"}});
  for (const auto& [name, style] : keys) page.leaf("span", name, {{"class", style}});
  page.close();
}

PlotPanel error_panel(const MatrixKind& kind) {
  PlotPanel panel{kind.name, PlotAxis::kFromZero, {}, {{"rtn", {}}, {"gptq", {}}, {"kept", {}}}};
  for (const MatrixReport* matrix : kind.layers) {
    if (!matrix->gptq) continue;
    const GptqReport& gptq = *matrix->gptq;
    const double errors[] = {gptq.rtn_error, gptq.plain_error, gptq.error};
    const std::string hint = fmt::format("{}: rtn {:.5f}, gptq {:.5f}, kept {:.5f} (beta {})", matrix->name,
                                         gptq.rtn_error, gptq.plain_error, gptq.error, gptq.beta);
    for (size_t i = 0; i < 3; i++) panel.lines[i].points.push_back({matrix->layer, errors[i], hint, ""});
  }
  return panel;
}

PlotPanel weight_panel(const MatrixKind& kind) {
  PlotPanel panel{kind.name, PlotAxis::kFitted, {}, {{"kept", {}}}};
  for (const MatrixReport* matrix : kind.layers) {
    const std::string hint = fmt::format("{}: {:.1f} dB", matrix->name, matrix->sqnr_db);
    panel.lines[0].points.push_back({matrix->layer, matrix->sqnr_db, hint, ""});
  }
  return panel;
}

PlotPanel range_panel(const RangeKind& kind) {
  PlotPanel panel{kind.name, PlotAxis::kSignedLog, {}, {}};
  for (const RangeReport* range : kind.layers) {
    const std::string hint = fmt::format("{}: seen [{:.4g}, {:.4g}], chosen [{:.4g}, {:.4g}] on {} bits", range->value,
                                         range->lowest, range->highest, range->low, range->high, range->bits);
    panel.bars.push_back({"seen", range->layer, range->lowest, range->highest, hint});
    panel.bars.push_back({range->bits > 8 ? "wide" : "chosen", range->layer, range->low, range->high, hint});
  }
  return panel;
}

PlotPanel sqnr_panel(const RangeKind& kind) {
  PlotPanel panel{kind.name, PlotAxis::kFitted, {}, {{"chosen", {}}}};
  for (const RangeReport* range : kind.layers) {
    const std::string hint = fmt::format("{}: {:.1f} dB on {} bits", range->value, range->sqnr_db, range->bits);
    panel.lines[0].points.push_back({range->layer, range->sqnr_db, hint, range->bits > 8 ? "wide" : ""});
  }
  return panel;
}

template <typename Kind>
void write_panels(const std::vector<Kind>& kinds, PlotPanel (*panel_of)(const Kind&), Markup& page) {
  page.open("div", {{"class", "panels"}});
  for (const Kind& kind : kinds) draw_panel(panel_of(kind), page);
  page.close();
}

void write_matrix_plots(const OptimiseReport& report, Markup& page) {
  const std::vector<MatrixKind> kinds = matrix_kinds(report);
  if (kinds.empty()) return;
  if (!has_errors(report)) {
    page.leaf("h2", "SQNR of the weights, dB, over the layers");
    write_panels(kinds, weight_panel, page);
    return;
  }
  page.leaf("h2", "Output error of each matrix over the layers");
  page.leaf(
      "p",
      "Relative to the output's power, on held-out tokens. Below zero: the codes make up for more of the error of "
      "what came before than they add.");
  write_legend({{"rounding (rtn)", "rtn"}, {"plain GPTQ", "gptq"}, {"kept", "kept"}}, page);
  write_panels(kinds, error_panel, page);
}

void write_range_plots(const OptimiseReport& report, Markup& page) {
  const std::vector<RangeKind> kinds = range_kinds(report);
  if (kinds.empty()) return;
  page.leaf("h2", "Ranges of the activations over the layers");
  write_legend({{"seen", "seen"}, {"chosen, 8 bits", "chosen"}, {"chosen, 16 bits", "wide"}}, page);
  write_panels(kinds, range_panel, page);
  page.leaf("h2", "SQNR of the activations over the layers, dB");
  write_legend({{"8 bits", "chosen"}, {"16 bits", "wide"}}, page);
  write_panels(kinds, sqnr_panel, page);
}

void write_row(std::string_view cell, const std::vector<std::string>& cells, Markup& page) {
  page.open("tr");
  for (const std::string& text : cells) page.leaf(cell, text);
  page.close();
}

void write_passes(const OptimiseReport& report, Markup& page) {
  double longest = 0;
  for (const PassReport& pass : report.passes) longest = std::max(longest, pass.seconds);
  page.leaf("h2", "Passes");
  page.open("table", {{"class", "passes"}});
  write_row("th", {"pass", "effect", "seconds", ""}, page);
  for (const PassReport& pass : report.passes) {
    page.open("tr");
    page.leaf("td", pass.name);
    page.leaf("td", pass.effect);
    page.leaf("td", pass.is_skipped ? "left out" : fmt::format("{:.1f}", pass.seconds));
    page.open("td");
    draw_share(longest > 0 ? pass.seconds / longest : 0, page);
    page.close();
    page.close();
  }
  page.close();
}

std::vector<std::string> matrix_cells(const MatrixReport& matrix) {
  std::vector<std::string> cells = {matrix.name, fmt::format("{} × {}", matrix.rows, matrix.inputs), matrix.method};
  if (matrix.gptq) {
    const GptqReport& gptq = *matrix.gptq;
    for (const double error : {gptq.rtn_error, gptq.plain_error, gptq.error}) {
      cells.push_back(fmt::format("{:.5f}", error));
    }
    cells.push_back(fmt::format("{:.2f}", gptq.beta));
    cells.push_back(fmt::format("{:g}", gptq.damping));
    cells.push_back(fmt::format("{}", gptq.dead_columns));
  } else {
    cells.resize(cells.size() + 6);
  }
  cells.push_back(fmt::format("{:.1f}", matrix.sqnr_db));
  cells.push_back(fmt::format("{:.1f}", matrix.seconds));
  return cells;
}

void write_layer(const LayerReport& layer, Markup& page) {
  page.open("details");
  page.leaf("summary", title_of(layer));
  if (!layer.matrices.empty()) {
    page.open("table");
    write_row("th",
              {"matrix", "size", "method", "rtn", "gptq", "kept", "beta", "damping", "dead", "SQNR dB", "seconds"},
              page);
    for (const MatrixReport* matrix : layer.matrices) write_row("td", matrix_cells(*matrix), page);
    page.close();
  }
  if (!layer.ranges.empty()) {
    page.open("table");
    write_row("th", {"value", "lowest seen", "highest seen", "low", "high", "bits", "SQNR dB", "reason"}, page);
    for (const RangeReport* range : layer.ranges) write_row("td", range_cells(*range), page);
    page.close();
  }
  page.close();
}

void write_head(const OptimiseReport& report, Markup& page) {
  page.open("head");
  page.empty("meta", {{"charset", "utf-8"}});
  page.empty("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  page.leaf("title", "hotaru optimize: " + report.model);
  page.open("style");
  page.verbatim(report_style());
  page.close();
  page.close();
}

void write_body(const OptimiseReport& report, Markup& page) {
  page.leaf("h1", report.model);
  page.leaf("p", fmt::format("{}, recipe {}, group {}, seed {}; calibrated on {}", report.architecture, report.recipe,
                             report.group, report.seed, report.calibration));
  write_tiles(report, page);
  write_list("Warnings", report.warnings, page);
  write_list("What was chosen, and why", choices_of(report), page);
  write_matrix_plots(report, page);
  write_range_plots(report, page);
  write_passes(report, page);
  page.leaf("h2", "All figures");
  for (const LayerReport& layer : layers_of(report)) write_layer(layer, page);
}

}  // namespace

std::string to_html(const OptimiseReport& report) {
  Markup page;
  page.verbatim("<!doctype html>\n");
  page.open("html", {{"lang", "en"}});
  write_head(report, page);
  page.open("body");
  write_body(report, page);
  page.close();
  page.close();
  return page.take();
}

}  // namespace hotaru
