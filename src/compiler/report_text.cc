#include "compiler/report_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "compiler/report_layers.h"

namespace hotaru {
namespace {

// Cells in columns of equal width; numbers stand right.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }

  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void print(std::string& out) const {
    std::vector<size_t> widths(rows_[0].size());
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows_) {
      std::string line = " ";
      for (size_t i = 0; i < row.size(); i++) {
        line += is_number(i) ? fmt::format(" {:>{}} ", row[i], widths[i]) : fmt::format(" {:<{}} ", row[i], widths[i]);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
  }

 private:
  [[nodiscard]] bool is_number(size_t column) const {
    return std::any_of(rows_.begin() + 1, rows_.end(), [column](const auto& row) {
      const std::string& cell = row[column];
      return !cell.empty() && cell.find_first_not_of("0123456789.e+-") == std::string::npos;
    });
  }
  std::vector<std::vector<std::string>> rows_;
};

void print_list(std::string_view title, const std::vector<std::string>& entries, std::string& out) {
  if (entries.empty()) return;
  out += fmt::format("\n{}\n", title);
  for (const std::string& entry : entries) out += fmt::format("  - {}\n", entry);
}

void print_passes(const OptimiseReport& report, std::string& out) {
  Table table({"pass", "effect", "seconds", "note"});
  for (const PassReport& pass : report.passes) {
    table.add({pass.name, pass.effect, pass.is_skipped ? "skipped" : fmt::format("{:.1f}", pass.seconds), pass.note});
  }
  out += "\npasses\n";
  table.print(out);
}

std::vector<std::string> matrix_cells(const MatrixReport& matrix) {
  std::vector<std::string> cells = {fmt::format("{} [{}, {}]", matrix.name, matrix.rows, matrix.inputs), matrix.method};
  if (matrix.gptq) {
    const GptqReport& gptq = *matrix.gptq;
    for (const double error : {gptq.rtn_error, gptq.plain_error, gptq.error}) {
      cells.push_back(fmt::format("{:.5f}", error));
    }
    cells.push_back(fmt::format("{:.2f}", gptq.beta));
  } else {
    cells.resize(cells.size() + 4);
  }
  cells.push_back(fmt::format("{:.1f}", matrix.sqnr_db));
  cells.push_back(fmt::format("{:.1f}", matrix.seconds));
  return cells;
}

void print_layer(const LayerReport& layer, std::string& out) {
  out += fmt::format("\n{}\n", title_of(layer));
  if (!layer.matrices.empty()) {
    Table table({"matrix", "method", "rtn", "gptq", "error", "beta", "SQNR dB", "seconds"});
    for (const MatrixReport* matrix : layer.matrices) table.add(matrix_cells(*matrix));
    table.print(out);
  }
  if (!layer.ranges.empty()) {
    Table table({"value", "lowest", "highest", "low", "high", "bits", "SQNR dB", "reason"});
    for (const RangeReport* range : layer.ranges) table.add(range_cells(*range));
    table.print(out);
  }
}

}  // namespace

std::string to_text(const OptimiseReport& report) {
  std::string out = fmt::format("{} ({}), recipe {}, group {}, seed {}\ncalibrated on {}\n", report.model,
                                report.architecture, report.recipe, report.group, report.seed, report.calibration);
  print_list("warnings", report.warnings, out);
  print_list("chosen, and why", report.notes, out);
  print_passes(report, out);
  out +=
      "\nrtn, gptq, error: relative error of the outputs on held-out tokens, with rounding, plain GPTQ, and what was\n"
      "kept; below zero where it makes up for errors of layers before. lowest, highest: seen; low, high: chosen.\n";
  for (const LayerReport& layer : layers_of(report)) print_layer(layer, out);
  return out;
}

}  // namespace hotaru
