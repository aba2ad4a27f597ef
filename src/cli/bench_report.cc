#include "cli/bench_report.h"

#include <fmt/format.h>

#include "base/size_text.h"
#include "cli/version.h"
#include "eval/roofline.h"

namespace hotaru::cli {
namespace {

Json keyed(const std::map<int, double>& values) {
  Json object = Json::object();
  for (const auto& [key, value] : values) object[std::to_string(key)] = value;
  return object;
}

Json profile_json(const BenchResult& result) {
  Json list = Json::array();
  for (const BenchPhase& phase : result.report.phases) {
    Json calls = Json::array();
    for (const RooflineRow& row : roofline(phase)) {
      calls.push_back({{"program", row.program},
                       {"call", row.call},
                       {"operation", row.operation},
                       {"ms", row.ms},
                       {"share", row.share},
                       {"memory_bytes", row.memory_bytes},
                       {"activation_bytes", row.activation_bytes},
                       {"multiply_adds", row.multiply_adds},
                       {"bytes_per_second", row.bytes_per_second()},
                       {"multiply_adds_per_second", row.multiply_adds_per_second()},
                       {"limit_ms", row.limit_ms},
                       {"limit", row.reads_longer ? "memory" : "products"}});
    }
    list.push_back({{"phase", phase.name}, {"ms", phase.ms}, {"calls", std::move(calls)}});
  }
  return list;
}

Json limits_json(const BenchResult& result) {
  Json shares = Json::object();
  for (const BenchPhase& phase : result.report.phases) {
    const RooflineRow total = roofline_total(phase);
    shares[phase.name] = {{"read_bytes_per_second", phase.limits.read_bytes_per_second},
                          {"multiply_adds_per_second", phase.limits.multiply_adds_per_second},
                          {"memory_bytes", total.memory_bytes},
                          {"multiply_adds", total.multiply_adds},
                          {"share_of_bandwidth", total.bytes_per_second() / phase.limits.read_bytes_per_second},
                          {"share_of_limit", total.share_of_limit()}};
  }
  return shares;
}

std::string phase_line(const BenchPhase& phase) {
  const RooflineRow total = roofline_total(phase);
  const char* what = total.reads_longer ? "of the memory's speed" : "of the processor's products";
  return fmt::format("{:<26} {:10.2f} ms {:9.1f} tokens/s  {:3.0f} % {}\n", phase.name, phase.ms,
                     phase.tokens * 1e3 / phase.ms, total.share_of_limit() * 100, what);
}

std::string profile_table(const BenchPhase& phase) {
  std::string text = fmt::format("\n{}: where {:.2f} ms go\n", phase.name, phase.ms);
  text += fmt::format("  {:<18} {:<12} {:>9} {:>6} {:>9} {:>7} {:>8}  {:<8} {:>8}\n", "call", "operation", "ms",
                      "share", "MB read", "GB/s", "GOP/s", "limit", "of limit");
  double calls_ms = 0;
  for (const RooflineRow& row : roofline(phase)) {
    calls_ms += row.ms;
    const bool counts = row.limit_ms > 0;  // what reads and writes activations only has no limit here
    text +=
        fmt::format("  {:<18} {:<12} {:9.3f} {:4.1f} % {:9.2f} {:7.2f} {:8.1f}  {:<8} {:>8}\n", row.call, row.operation,
                    row.ms, row.share * 100, row.memory_bytes / 1e6, row.bytes_per_second() / 1e9,
                    2 * row.multiply_adds_per_second() / 1e9, counts ? (row.reads_longer ? "memory" : "products") : "-",
                    counts ? fmt::format("{:.0f} %", row.share_of_limit() * 100) : "-");
  }
  return text + fmt::format("  {:<18} {:<12} {:9.3f}\n", "between calls", "", phase.ms - calls_ms);
}

}  // namespace

Json bench_json(const BenchResult& result, bool with_profile) {
  Json json;
  json["ttft_ms"] = keyed(result.report.ttft_ms);
  json["decode_ms"] = keyed(result.report.decode_ms);
  json["aggregate_tokens_per_second"] = keyed(result.report.aggregate_tokens_per_second);
  json["load_ms"] = result.load_ms;
  json["peak_rss_bytes"] = result.peak_rss_bytes;
  json["device_bytes"] = result.device.total_bytes;
  json["weight_bytes"] = result.device.weight_bytes;
  json["memory_bandwidth_bytes_per_second"] = result.report.limits.read_bytes_per_second;
  json["isa"] = isa_name(result.device.isa);
  json["threads"] = result.device.threads;
  json["model"] = result.model;
  json["cpu"] = processor_name();
  json["commit"] = commit_text();
  json["peak_multiply_adds_per_second"] = result.report.limits.multiply_adds_per_second;
  json["limits"] = limits_json(result);
  if (with_profile) json["profile"] = profile_json(result);
  return json;
}

std::string bench_text(const BenchResult& result, bool with_profile) {
  std::string text = fmt::format("{}, {}, {} threads; commit {}\n", processor_name(), isa_name(result.device.isa),
                                 result.device.threads, commit_text());
  text += fmt::format("load {:.1f} ms, peak resident {}, device memory {} (weights {})\n", result.load_ms,
                      size_text(result.peak_rss_bytes), size_text(result.device.total_bytes),
                      size_text(result.device.weight_bytes));
  text +=
      fmt::format("limits, measured in between: {:.1f} GB/s read", result.report.limits.read_bytes_per_second / 1e9);
  if (result.report.limits.multiply_adds_per_second > 0) {
    text += fmt::format(", {:.0f} GOP/s of 8-bit products", 2 * result.report.limits.multiply_adds_per_second / 1e9);
  }
  text += "\n\n";
  for (const BenchPhase& phase : result.report.phases) text += phase_line(phase);
  if (!with_profile) return text;
  for (const BenchPhase& phase : result.report.phases) text += profile_table(phase);
  return text;
}

}  // namespace hotaru::cli
