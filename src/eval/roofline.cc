#include "eval/roofline.h"

#include <algorithm>
#include <map>

namespace hotaru {
namespace {

// "layers.12.qkv" -> "qkv"
std::string without_layer(const std::string& call) {
  constexpr std::string_view kPrefix = "layers.";
  if (!call.starts_with(kPrefix)) return call;
  const size_t dot = call.find('.', kPrefix.size());
  return dot == std::string::npos ? call : call.substr(dot + 1);
}

void set_limit(RooflineRow& row, const MachineLimits& limits) {
  const double read_ms = limits.read_bytes_per_second > 0 ? row.memory_bytes / limits.read_bytes_per_second * 1e3 : 0;
  const double product_ms =
      limits.multiply_adds_per_second > 0 ? row.multiply_adds / limits.multiply_adds_per_second * 1e3 : 0;
  row.limit_ms = std::max(read_ms, product_ms);
  row.reads_longer = read_ms >= product_ms;
}

void add_call(const CallProfile& call, double samples, RooflineRow& row) {
  row.ms += call.seconds * 1e3 / samples;
  row.memory_bytes += static_cast<double>(call.memory_bytes) / samples;
  row.activation_bytes += static_cast<double>(call.activation_bytes) / samples;
  row.multiply_adds += static_cast<double>(call.multiply_adds) / samples;
}

}  // namespace

std::vector<RooflineRow> roofline(const BenchPhase& phase) {
  std::map<std::pair<std::string, std::string>, RooflineRow> kinds;
  double all_ms = 0;
  for (const CallProfile& call : phase.calls) {
    RooflineRow& row = kinds[{call.program, without_layer(call.call)}];
    row.program = call.program;
    row.call = without_layer(call.call);
    row.operation = call.operation;
    add_call(call, phase.samples, row);
    all_ms += call.seconds * 1e3 / phase.samples;
  }
  std::vector<RooflineRow> rows;
  for (auto& [name, row] : kinds) {
    row.share = row.ms / all_ms;
    set_limit(row, phase.limits);
    rows.push_back(std::move(row));
  }
  std::ranges::sort(rows, std::ranges::greater{}, &RooflineRow::ms);
  return rows;
}

RooflineRow roofline_total(const BenchPhase& phase) {
  RooflineRow total;
  total.call = phase.name;
  total.share = 1;
  for (const CallProfile& call : phase.calls) add_call(call, phase.samples, total);
  total.ms = phase.ms;
  set_limit(total, phase.limits);
  return total;
}

}  // namespace hotaru
