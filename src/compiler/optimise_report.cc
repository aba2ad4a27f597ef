#include "compiler/optimise_report.h"

#include <cmath>

#include "compiler/report_layers.h"

namespace hotaru {
namespace {

// Two decimals are what SQNR and seconds are worth; shorter files, too.
double rounded(double value) { return std::nearbyint(value * 100) / 100; }

Json matrix_json(const MatrixReport& matrix, bool with_times) {
  Json json = {{"name", matrix.name},
               {"method", matrix.method},
               {"rows", matrix.rows},
               {"inputs", matrix.inputs},
               {"sqnr_db", rounded(matrix.sqnr_db)}};
  if (matrix.gptq) {
    json["error_rtn"] = matrix.gptq->rtn_error;
    json["error_gptq"] = matrix.gptq->plain_error;
    json["error"] = matrix.gptq->error;
    json["damping"] = matrix.gptq->damping;
    json["beta"] = matrix.gptq->beta;
    json["dead_columns"] = matrix.gptq->dead_columns;
  }
  if (with_times) json["seconds"] = rounded(matrix.seconds);
  return json;
}

Json range_json(const RangeReport& range) {
  Json json = {{"value", range.value},
               {"lowest", range.lowest},
               {"highest", range.highest},
               {"low", range.low},
               {"high", range.high},
               {"scale", range.range.scale},
               {"zero_point", range.range.zero_point},
               {"sqnr_db", rounded(range.sqnr_db)},
               {"bits", range.bits}};
  if (!range.reason.empty()) json["reason"] = range.reason;
  return json;
}

}  // namespace

Json to_json(const OptimiseReport& report, bool with_times) {
  Json json = {{"model", report.model},   {"architecture", report.architecture},
               {"recipe", report.recipe}, {"group", report.group},
               {"seed", report.seed},     {"calibration", report.calibration},
               {"passes", Json::array()}, {"layers", Json::array()},
               {"notes", report.notes},   {"warnings", report.warnings}};
  for (const PassReport& pass : report.passes) {
    Json entry = {{"name", pass.name}, {"effect", pass.effect}, {"skipped", pass.is_skipped}};
    if (!pass.note.empty()) entry["note"] = pass.note;
    if (with_times) entry["seconds"] = rounded(pass.seconds);
    json["passes"].push_back(std::move(entry));
  }
  for (const LayerReport& layer : layers_of(report)) {
    Json entry = {{"layer", layer.layer}, {"matrices", Json::array()}, {"ranges", Json::array()}};
    for (const MatrixReport* matrix : layer.matrices) entry["matrices"].push_back(matrix_json(*matrix, with_times));
    for (const RangeReport* range : layer.ranges) entry["ranges"].push_back(range_json(*range));
    json["layers"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace hotaru
